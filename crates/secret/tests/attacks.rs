//! What must not be possible with a secret, whatever the code around it does.

use std::process::Command;

use handover_secret::Secret;

/// Compiles only if a type does not have a trait: with it, the two ways to name the method are two.
macro_rules! has_not {
    ($type:ty, $($marker:ident: $trait:path),+ $(,)?) => {$({
        trait Ambiguous<A> {
            fn check() {}
        }
        impl<T: ?Sized> Ambiguous<()> for T {}
        struct $marker;
        impl<T: ?Sized + $trait> Ambiguous<$marker> for T {}
        <$type as Ambiguous<_>>::check();
    })+};
}

/// S04: it cannot be copied, printed, ordered, compared with `==`, hashed, written by serde, or borrowed unnoticed.
#[test]
fn a_secret_cannot_be_copied_printed_compared_or_serialised() {
    has_not!(
        Secret,
        Cloned: Clone,
        Copied: Copy,
        Displayed: std::fmt::Display,
        Serialised: serde::Serialize,
        Compared: PartialEq,
        Ordered: PartialOrd,
        Hashed: std::hash::Hash,
        Made: Default,
        Borrowed: AsRef<[u8]>,
        BorrowedAsText: AsRef<str>,
        Dereferenced: std::ops::Deref,
        Written: std::fmt::LowerHex,
    );
}

/// S04: what derives `Debug` around a secret shows nothing of it, in any form.
#[test]
fn debug_of_what_holds_a_secret_is_redacted() {
    #[derive(Debug)]
    #[expect(dead_code, reason = "it is printed")]
    struct Holder {
        user: &'static str,
        secret: Option<Secret>,
        result: Result<(), Secret>,
    }
    let secret = || Secret::from_text("canary".to_owned());
    let holder = Holder { user: "app", secret: Some(secret()), result: Err(secret()) };
    for text in [format!("{holder:?}"), format!("{holder:#?}"), format!("{holder:x?}")] {
        assert!(text.contains("app") && text.contains("[redacted]"), "{text}");
        assert!(!text.contains("canary") && !text.contains("99, 97, 110") && !text.contains("63, 61"), "{text}");
    }
}

const DIES: &str = "HANDOVER_TEST_DIES";

/// S05: a process that dies with secrets in its hands says nothing of them, with the longest of backtraces.
#[test]
fn a_panic_with_a_secret_on_the_stack_shows_nothing_of_it() {
    let output = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "dies_with_secrets_if_told_to", "--nocapture"])
        .env(DIES, "1")
        .env("RUST_BACKTRACE", "full")
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stdout) + String::from_utf8_lossy(&output.stderr);
    assert!(!output.status.success(), "{said}");
    assert!(said.contains("stack backtrace") && said.contains("[redacted]"), "{said}");
    for form in ["canary-on-the-stack", "63616e617279", "Y2FuYXJ5"] {
        assert!(!said.contains(form), "{said}");
    }
}

/// The other half of the test above. Without the order to die it looks at nothing but the order.
#[test]
fn dies_with_secrets_if_told_to() {
    let told = std::env::var_os(DIES).is_some();
    let on_the_stack = Secret::from_text("canary-on-the-stack".to_owned());
    let result = if told { Err(on_the_stack.duplicate()) } else { Ok(()) };
    result.unwrap();
    assert_eq!(on_the_stack.len(), 19);
}
