//! A program that makes values: what it prints is the value. It is told for which group and generation.

use handover_core::port::{Answer, Generate};
use handover_core::{Fault, FaultKind, Generation, GroupId};
use handover_secret::Secret;
use serde::Serialize;

use crate::program::{is_whole, printed};

/// The longest value, in bytes.
pub const VALUE_BYTES_MAX: usize = 64 * 1024;

/// Has a program make values.
#[derive(Clone, Debug)]
pub struct Process {
    command: Vec<String>,
}

/// What the program reads.
#[derive(Serialize)]
struct Input<'a> {
    group: &'a str,
    generation: u64,
}

impl Process {
    /// Takes the program by its whole path, and its arguments. Starts nothing.
    ///
    /// # Errors
    /// `Misconfigured` where it does not begin with a whole path.
    pub fn new(command: Vec<String>) -> Result<Self, Fault> {
        if is_whole(&command) {
            return Ok(Self { command });
        }
        Err(Fault::untouched(FaultKind::Misconfigured, "generate: command begins with the whole path of a program"))
    }

    async fn run(&self, group: &GroupId, generation: Generation) -> Result<Secret, Fault> {
        let input = Input { group: group.as_str(), generation: generation.0 };
        let mut input =
            serde_json::to_vec(&input).map_err(|_| failed(FaultKind::Bug, "its input could not be written"))?;
        input.push(b'\n');
        let (status, output) = printed(&self.command, &input, VALUE_BYTES_MAX)
            .await
            .map_err(|error| failed(FaultKind::Misconfigured, &format!("it cannot be run: {}", error.kind())))?;
        match status.code() {
            Some(0) => value(&output),
            Some(code) => Err(failed(FaultKind::Busy, &format!("it ended with {code}; it is run again"))),
            None => Err(failed(FaultKind::Busy, "it was killed; it is run again")),
        }
    }
}

impl Generate for Process {
    fn generate<'a>(&'a self, group: &'a GroupId, generation: Generation) -> Answer<'a, Secret> {
        Box::pin(self.run(group, generation))
    }
}

/// What was printed, without the line's end that most programs print.
fn value(printed: &[u8]) -> Result<Secret, Fault> {
    let value = printed.strip_suffix(b"\n").unwrap_or(printed);
    let value = value.strip_suffix(b"\r").unwrap_or(value);
    let unfit = |why: &str| Err(failed(FaultKind::Misconfigured, why));
    if printed.len() > VALUE_BYTES_MAX {
        return unfit("it printed more than 65536 bytes");
    }
    if std::str::from_utf8(value).is_err() || value.contains(&0) {
        return unfit("it printed what is no text: consumers take values as UTF-8 without NUL");
    }
    Ok(Secret::from_bytes(value.to_vec()))
}

fn failed(kind: FaultKind, why: &str) -> Fault {
    Fault::untouched(kind, format!("the program that makes values: {why}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn made(script: &str) -> Result<Secret, Fault> {
        let command = ["/bin/sh", "-c", script].map(str::to_owned).to_vec();
        Process::new(command)?.generate(&GroupId::parse("orders").unwrap(), Generation(7)).await
    }

    #[tokio::test]
    async fn what_it_prints_is_the_value() {
        for (script, expected) in [
            ("echo of-a-program", "of-a-program"),
            ("printf 'no end'", "no end"),
            ("printf 'two\nlines\n\n'", "two\nlines\n"),
            ("cat", "{\"group\":\"orders\",\"generation\":7}"),
            ("printf %s \"${HOME-none} $(pwd)\"", "none /"),
        ] {
            let value = made(script).await.unwrap();
            assert!(value.matches(&Secret::from_text(expected.to_owned())), "{script}");
        }
        // What is empty, or in force already, is judged by whoever asked.
        assert!(made("true").await.unwrap().is_empty());
    }

    #[tokio::test]
    async fn what_is_no_value_is_refused_without_being_repeated() {
        for (script, kind) in [
            ("echo canary-4711; exit 3", FaultKind::Busy),
            ("echo canary-4711; kill -9 $$", FaultKind::Busy),
            ("printf 'canary-4711\\377'", FaultKind::Misconfigured),
            ("printf 'canary-4711\\0'", FaultKind::Misconfigured),
            ("yes canary-4711", FaultKind::Busy),
            ("yes canary-4711 | head -c 65537", FaultKind::Misconfigured),
        ] {
            let fault = made(script).await.unwrap_err();
            assert_eq!(fault.kind, kind, "{script}: {fault}");
            assert!(!fault.to_string().contains("canary"), "{fault}");
        }
        let absent = Process::new(vec!["/nowhere/at-all".to_owned()]).unwrap();
        let fault = absent.generate(&GroupId::parse("orders").unwrap(), Generation(1)).await.unwrap_err();
        assert_eq!(fault.kind, FaultKind::Misconfigured, "{fault}");
        Process::new(vec!["sh".to_owned()]).unwrap_err();
    }
}
