//! Resilience layers for HTTP clients in long-running programs: nothing waits forever.
#![cfg_attr(docsrs, feature(doc_cfg))]
