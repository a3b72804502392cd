//! The rules about public items on small inputs.

use crate::doors::{Doors, Exceptions};

fn doors(source: &str) -> Doors {
    Doors::new([("src/retry/mod.rs", source)])
}

fn closed(source: &str) -> Vec<String> {
    doors(source).closed(&[])
}

fn unread(source: &str, exceptions: Exceptions) -> Vec<String> {
    doors(source).unread(exceptions)
}

#[test]
fn a_public_field_without_a_name_is_refused_and_a_private_one_is_not() {
    assert_eq!(
        closed("pub struct Number(pub u32);"),
        ["src/retry/mod.rs:1: `Number` has a public field without a name"]
    );
    assert_eq!(closed("pub struct Number(u32); pub(crate) struct Inner(pub u32);"), [""; 0]);
    assert_eq!(
        closed("#[non_exhaustive] pub enum What { A, B(u8) }"),
        ["src/retry/mod.rs:1: `What::B` has a public field without a name"]
    );
}

#[test]
fn what_has_public_fields_or_variants_has_to_be_able_to_grow() {
    assert_eq!(closed("pub enum Way { On, Off }"), ["src/retry/mod.rs:1: `Way` has no #[non_exhaustive]"]);
    assert_eq!(
        closed("pub struct Seen { pub calls: u64 }"),
        ["src/retry/mod.rs:1: `Seen` has public fields and no #[non_exhaustive]"]
    );
    let fine = "#[non_exhaustive] pub struct Seen { pub calls: u64 } pub struct Private { calls: u64 }
        enum Inner { A } #[cfg(test)] pub enum Test { A } mod m { #[non_exhaustive] pub enum Way { On } }";
    assert_eq!(closed(fine), [""; 0]);
}

#[test]
fn a_setter_needs_a_getter_and_what_is_no_setter_needs_none() {
    let settings = "impl Settings {
        pub fn cap(mut self, cap: u32) -> Settings { self }
        pub const fn base(mut self, base: u32) -> Self { self }
        pub fn get_base(&self) -> u32 { 0 }
        pub fn build(self) -> Result<Settings, Error> { Ok(self) }
        pub fn new(cap: u32) -> Settings { Settings }
        fn inner(self) -> Settings { self }
    }";
    let line = "src/retry/mod.rs:2: `retry::Settings` sets `cap` and has no `get_cap`";
    assert_eq!(unread(settings, &[]), [line]);
    assert_eq!(unread(settings, &[("retry::Settings::cap", "why")]), [""; 0]);
    assert_eq!(unread(settings, &[("retry::Settings::", "why")]), [""; 0]);
}

#[test]
fn an_exception_has_a_reason_and_is_needed() {
    let fine = "impl Settings { pub fn cap(self) -> Self { self } pub fn get_cap(&self) {} }";
    assert_eq!(
        unread(fine, &[("retry::Settings::cap", "why")]),
        ["\"retry::Settings::cap\" is no exception any more: remove it from its list"]
    );
    let broken = "impl Settings { pub fn cap(self) -> Self { self } }";
    assert_eq!(unread(broken, &[("retry::Settings::cap", " ")]), ["\"retry::Settings::cap\" has no reason"]);
}

#[test]
fn nine_setters_are_a_crowd() {
    let setter = |n| format!("pub fn s{n}(self) -> Settings {{ self }}");
    let with = |n: u32| format!("impl Settings {{ {} }}", (0..n).map(setter).collect::<String>());
    assert_eq!(doors(&with(8)).crowded(&[]), [""; 0]);
    assert_eq!(
        doors(&with(9)).crowded(&[]),
        ["src/retry/mod.rs: `retry::Settings` has 9 setters, at most 8: some belong together"]
    );
}
