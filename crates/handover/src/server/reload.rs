//! Reading the configuration again by request.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use handover_api::{ReloadRequest, Reloaded};

use super::App;
use super::auth::Asking;
use super::body::Body;
use super::refusal::Refused;
use crate::reload::ReloadRefused;

pub(crate) async fn reload(
    State(app): State<Arc<App>>,
    Asking(caller): Asking,
    Body(ReloadRequest { check }): Body<ReloadRequest>,
) -> Result<Json<Reloaded>, Refused> {
    Ok(Json(Arc::clone(&app.reloader).reload(check, caller.identity.to_string()).await?))
}

impl From<ReloadRefused> for Refused {
    fn from(refused: ReloadRefused) -> Self {
        let (detail, hint) = refused.words();
        match refused {
            ReloadRefused::Unusable(_) => {
                Self::new(500, "configuration", "The configuration cannot be used", detail, &hint)
            }
            ReloadRefused::RestartNeeded(_) => Self::new(409, "restart_needed", "A restart is needed", detail, &hint),
            ReloadRefused::Live(_) => Self::new(409, "live", "A rotation is live", detail, &hint),
            ReloadRefused::Fault(fault) => fault.into(),
        }
    }
}
