use super::{POLICY, SCRIPT, STYLE};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;

/// Otherwise a browser runs neither, and the page looks like a text of the nineties.
#[test]
fn the_policy_names_the_style_and_the_script_as_they_are() {
    for (of, text) in [("style", STYLE), ("script", SCRIPT)] {
        let hash = ring::digest::digest(&ring::digest::SHA256, text.replace('\r', "").as_bytes());
        let wanted = format!("{of}-src 'sha256-{}'", STANDARD.encode(hash));
        assert!(POLICY.contains(&wanted), "page.css or page.js changed: put into POLICY: {wanted}");
    }
}

/// Inside of their elements they would end these.
#[test]
fn style_and_script_do_not_end_their_elements() {
    assert!(!STYLE.contains("</") && !SCRIPT.contains("</") && !SCRIPT.contains("<!--"));
}
