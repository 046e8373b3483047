//! Traces: spans of requests, of the work on groups, of effects and of calls, sent as OTLP over HTTP.
//!
//! Sending has a thread and a bounded queue of its own. A receiver that is slow, hangs or is gone costs spans, and
//! nothing else waits for it. Only spans are sent, never messages of the log.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, LazyLock};
use std::time::Duration;

use opentelemetry::trace::TracerProvider as _;
use opentelemetry_otlp::{Protocol, SpanExporter as OtlpExporter, WithExportConfig as _, WithHttpConfig as _};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::error::OTelSdkResult;
use opentelemetry_sdk::trace::{BatchConfigBuilder, BatchSpanProcessor, SdkTracerProvider, SpanData, SpanExporter};
use tracing_subscriber::filter::filter_fn;
use tracing_subscriber::{Layer, Registry};

use crate::cli::Verb;
use crate::config::{Config, Telemetry};
use crate::failure::Failure;
use crate::metrics::Exports;
use crate::remote;

/// How many spans may wait to be sent. Those above are dropped.
const QUEUE_SPANS_MAX: usize = 4_096;

/// How many are sent at once.
const BATCH_SPANS_MAX: usize = 512;

/// How often they are sent.
const SEND_EVERY: Duration = Duration::from_secs(1);

/// How long one sending may take.
const SEND_MAX: Duration = Duration::from_secs(5);

/// How long the end of the process may wait for what is still in the queue.
const FINISH_MAX: Duration = Duration::from_secs(2);

/// A layer that takes spans.
pub(crate) type Spans = Box<dyn Layer<Registry> + Send + Sync>;

static EXPORTS: LazyLock<Arc<Exports>> = LazyLock::new(Arc::default);

/// What this process counts of its sending.
pub(crate) fn exports() -> Arc<Exports> {
    Arc::clone(&EXPORTS)
}

/// Begins to send traces, for the one verb that has any and if the configuration names a receiver. Contacts nobody. Must
/// be called before there is a runtime.
pub(crate) fn begin(verb: &Verb) -> Result<Option<(Traces, Spans)>, Failure> {
    let Verb::Serve(arguments) = verb else { return Ok(None) };
    // One that cannot be read is said by the verb itself.
    let Some(telemetry) = Config::telemetry(&arguments.config) else { return Ok(None) };
    Traces::begin(&telemetry)
}

/// Sends traces until it is dropped.
pub(crate) struct Traces {
    provider: SdkTracerProvider,
}

impl Traces {
    fn begin(config: &Telemetry) -> Result<Option<(Self, Spans)>, Failure> {
        let Some(endpoint) = &config.otlp_endpoint else { return Ok(None) };
        let failed = || Failure::error("traces cannot be set up: see otlp_endpoint in the configuration");
        let trusting = remote::trusting(endpoint.starts_with("https:"), config.otlp_ca_file.as_deref())?;
        let http = reqwest::blocking::Client::builder()
            .use_preconfigured_tls(trusting.with_no_client_auth())
            .redirect(reqwest::redirect::Policy::none())
            .no_proxy()
            .timeout(SEND_MAX)
            .build()
            .map_err(|_| failed())?;
        let exporter = OtlpExporter::builder()
            .with_http()
            .with_http_client(http)
            .with_endpoint(format!("{}/v1/traces", endpoint.trim_end_matches('/')))
            .with_protocol(Protocol::HttpBinary)
            .with_timeout(SEND_MAX)
            .build()
            .map_err(|_| failed())?;
        let batches = BatchConfigBuilder::default()
            .with_max_queue_size(QUEUE_SPANS_MAX)
            .with_max_export_batch_size(BATCH_SPANS_MAX)
            .with_scheduled_delay(SEND_EVERY)
            .build();
        let counted = Counted { exporter, exports: exports(), failing: AtomicBool::new(false) };
        // Nothing is taken from the environment: what names the process is decided here.
        let resource = Resource::builder_empty()
            .with_service_name("handover")
            .with_attribute(opentelemetry::KeyValue::new("service.version", env!("CARGO_PKG_VERSION")))
            .build();
        let provider = SdkTracerProvider::builder()
            .with_span_processor(BatchSpanProcessor::builder(counted).with_batch_config(batches).build())
            .with_resource(resource)
            .build();
        let layer = tracing_opentelemetry::layer()
            .with_tracer(provider.tracer("handover"))
            .with_location(false)
            .with_threads(false)
            .with_tracked_inactivity(false)
            .with_filter(filter_fn(|of| of.is_span() && of.target().starts_with("handover")));
        Ok(Some((Self { provider }, Box::new(layer))))
    }
}

impl Drop for Traces {
    fn drop(&mut self) {
        // Whatever could not be sent by then is lost: the process must end.
        drop(self.provider.shutdown_with_timeout(FINISH_MAX));
    }
}

/// Counts what an exporter does, and says once when it fails and once when it works again.
#[derive(Debug)]
struct Counted {
    exporter: OtlpExporter,
    exports: Arc<Exports>,
    failing: AtomicBool,
}

impl SpanExporter for Counted {
    async fn export(&self, batch: Vec<SpanData>) -> OTelSdkResult {
        let sent = self.exporter.export(batch).await;
        // The error's text is the HTTP client's: it stays here.
        match &sent {
            Ok(()) => {
                self.exports.done.fetch_add(1, Ordering::Relaxed);
                if self.failing.swap(false, Ordering::Relaxed) {
                    tracing::info!("traces are taken again");
                }
            }
            Err(_) => {
                self.exports.failed.fetch_add(1, Ordering::Relaxed);
                if !self.failing.swap(true, Ordering::Relaxed) {
                    tracing::warn!("traces are not taken by their receiver; spans are dropped meanwhile");
                }
            }
        }
        sent
    }

    fn shutdown_with_timeout(&mut self, timeout: Duration) -> OTelSdkResult {
        self.exporter.shutdown_with_timeout(timeout)
    }

    fn force_flush(&mut self) -> OTelSdkResult {
        self.exporter.force_flush()
    }

    fn set_resource(&mut self, resource: &Resource) {
        self.exporter.set_resource(resource);
    }
}
