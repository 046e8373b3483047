//! The web page: files in the binary, served to everybody. What they show comes from the API, with a token.

use axum::http::header::{
    CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, HeaderName, REFERRER_POLICY, X_CONTENT_TYPE_OPTIONS,
};
use axum::response::IntoResponse;

/// The page.
pub(crate) const INDEX: &str = "/";
/// Its style.
pub(crate) const STYLE: &str = "/page.css";
/// Its script.
pub(crate) const SCRIPT: &str = "/page.js";
/// Its icon, which browsers ask for even where a page names none.
pub(crate) const ICON: &str = "/page.svg";

pub(crate) async fn index() -> impl IntoResponse {
    file("text/html; charset=utf-8", include_str!("index.html"))
}

pub(crate) async fn style() -> impl IntoResponse {
    file("text/css; charset=utf-8", include_str!("page.css"))
}

pub(crate) async fn script() -> impl IntoResponse {
    file("text/javascript; charset=utf-8", PROGRAM)
}

pub(crate) async fn icon() -> impl IntoResponse {
    file("image/svg+xml", include_str!("page.svg"))
}

/// One script from several files: the first makes all of it strict, the last starts it.
const PROGRAM: &str = concat!(
    include_str!("parts.js"),
    include_str!("views.js"),
    include_str!("calendar.js"),
    include_str!("approvals.js"),
    include_str!("campaigns.js"),
    include_str!("page.js")
);

/// Nothing from elsewhere, nothing inline, no frame around it, and no text that becomes markup: what a text field
/// of the history holds cannot run, not even where the script forgot itself.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self'; \
                      base-uri 'none'; form-action 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'";

fn file(media_type: &'static str, content: &'static str) -> impl IntoResponse {
    let headers: [(HeaderName, &str); 5] = [
        (CONTENT_TYPE, media_type),
        (CONTENT_SECURITY_POLICY, POLICY),
        (X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (REFERRER_POLICY, "no-referrer"),
        // The next version of the program brings another page under the same paths.
        (CACHE_CONTROL, "no-cache"),
    ];
    (headers, content)
}

#[cfg(test)]
mod tests {
    use super::PROGRAM;

    /// The first cells of the table on the page about phases, in order.
    fn documented() -> Vec<String> {
        include_str!("../../../../../docs/phases.md")
            .lines()
            .filter_map(|line| line.strip_prefix("| ")?.split(" |").next())
            .flat_map(|cell| cell.split(", "))
            .map(str::to_ascii_lowercase)
            .take_while(|word| word != "done")
            .filter(|word| word != "phase")
            .collect()
    }

    #[test]
    fn the_timeline_knows_the_phases_in_their_order() {
        let listed = |name: &str| -> Vec<String> {
            let list = PROGRAM.split(&format!("const {name} = [")).nth(1).and_then(|rest| rest.split(']').next());
            list.unwrap_or_default().split('"').skip(1).step_by(2).map(str::to_owned).collect()
        };
        let all = [listed("FORWARD"), listed("BACK")].concat();
        assert_eq!(all, documented());
        assert_eq!(all.len(), 14);
    }

    #[test]
    fn nothing_is_inline_and_nothing_comes_from_elsewhere() {
        let (page, style) = (include_str!("index.html"), include_str!("page.css"));
        for (name, text) in [("index.html", page), ("page.css", style), ("page.js", PROGRAM)] {
            for sign in
                ["http:", "https:", "//cdn", "@import", "innerHTML", "insertAdjacentHTML", "eval(", "localStorage"]
            {
                assert!(!text.contains(sign), "{name} contains {sign}");
            }
        }
        assert!(!page.contains("style=") && !page.contains("<style") && !page.contains(" onclick"));
    }
}
