//! What was found: as text, as one JSON object a place, as SARIF.

use crate::common::{Object, Output, Stop};
use serde_json::{Value, json};
use std::fmt;

/// A place that waits without a limit, or that says why it may.
#[derive(Clone, Debug)]
pub(crate) struct Finding {
    pub(crate) file: String,
    /// From 1, as editors count.
    pub(crate) line: usize,
    pub(crate) column: usize,
    pub(crate) rule: Rule,
    pub(crate) what: String,
    /// Without one it is a finding.
    pub(crate) reason: Option<String>,
    /// What to do about it.
    pub(crate) advice: String,
    /// Whether only tests get here.
    pub(crate) test: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Rule {
    UnboundedClient,
    UnboundedCall,
    LongPoll,
    Vouch,
    NeverTrue,
    Syntax,
}

impl Rule {
    const ALL: [Rule; 6] = [
        Rule::UnboundedClient,
        Rule::UnboundedCall,
        Rule::LongPoll,
        Rule::Vouch,
        Rule::NeverTrue,
        Rule::Syntax,
    ];

    fn name(self) -> &'static str {
        match self {
            Rule::UnboundedClient => "unbounded-client",
            Rule::UnboundedCall => "unbounded-call",
            Rule::LongPoll => "long-poll",
            Rule::Vouch => "vouch",
            Rule::NeverTrue => "never-true",
            Rule::Syntax => "syntax",
        }
    }

    /// What to do about it, whatever it stands at.
    pub(crate) fn advice(self) -> &'static str {
        match self {
            Rule::UnboundedClient => "a client without a limit: use unwedge::Client, or set a timeout",
            Rule::UnboundedCall => {
                "a call without a limit: use unwedge::Client, or put it and the reading of its body under a timeout"
            }
            Rule::LongPoll => "a request that may wait for long: say why",
            Rule::Vouch => "a service that somebody vouches for: say why its calls end",
            Rule::NeverTrue => "false for each error of the stack: ask unwedge::reqwest::ErrorExt",
            Rule::Syntax => "not looked into, because it is no Rust",
        }
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Finding { file, line, column, rule, what, reason, advice, .. } = self;
        write!(f, "{file}:{line}:{column}: {}: {what}: ", rule.name())?;
        match reason {
            Some(reason) => write!(f, "ok, {reason}"),
            None => f.write_str(advice),
        }
    }
}

pub(crate) fn print(findings: &[Finding], output: Output) -> Result<(), Stop> {
    for finding in findings {
        if output.is_json() {
            let object = Object::new()
                .with("file", finding.file.as_str())
                .with("line", finding.line)
                .with("column", finding.column)
                .with("rule", finding.rule.name())
                .with("what", finding.what.as_str())
                .with("reason", finding.reason.as_deref());
            let advice = finding.reason.is_none().then_some(finding.advice.as_str());
            output.object(&object.with_known("advice", advice))?;
        } else {
            output.text(&finding.to_string())?;
        }
    }
    Ok(())
}

/// SARIF 2.1.0. What has a reason is there too, suppressed by it.
pub(crate) fn sarif(findings: &[Finding]) -> String {
    let rules: Vec<Value> = Rule::ALL
        .iter()
        .map(|rule| json!({ "id": rule.name(), "shortDescription": { "text": rule.advice() } }))
        .collect();
    let results: Vec<Value> = findings.iter().map(result).collect();
    let report = json!({
        "$schema": "https://json.schemastore.org/sarif-2.1.0.json",
        "version": "2.1.0",
        "runs": [{
            "tool": { "driver": { "name": "cargo-unwedge", "version": env!("CARGO_PKG_VERSION"), "rules": rules } },
            "columnKind": "unicodeCodePoints",
            "results": results,
        }],
    });
    format!("{report:#}\n")
}

fn result(finding: &Finding) -> Value {
    let mut result = json!({
        "ruleId": finding.rule.name(),
        "level": "error",
        "message": { "text": format!("{}: {}", finding.what, finding.advice) },
        "locations": [{
            "physicalLocation": {
                "artifactLocation": { "uri": uri(&finding.file) },
                "region": { "startLine": finding.line, "startColumn": finding.column },
            },
        }],
    });
    if let Some(reason) = &finding.reason {
        result["suppressions"] = json!([{ "kind": "inSource", "justification": reason }]);
    }
    result
}

/// A path as a URI: what has a meaning there is written as its number.
fn uri(path: &str) -> String {
    let plain = |byte: &u8| byte.is_ascii_alphanumeric() || b"-._~/".contains(byte);
    path.bytes().map(|b| if plain(&b) { char::from(b).to_string() } else { format!("%{b:02X}") }).collect()
}
