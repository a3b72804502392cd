use super::*;

const SIZES: Sizes = Sizes { line: 64, event: 100 };

/// Everything that these chunks say, one after the other, and the id that a reconnect would send.
fn said(sizes: Sizes, chunks: &[&[u8]]) -> (Vec<Item>, String) {
    let mut parser = Parser::new(sizes, "".into());
    let mut items = Vec::new();
    for mut chunk in chunks.iter().copied() {
        while let Some(item) = parser.next(&mut chunk) {
            items.push(item);
        }
        assert!(chunk.is_empty());
    }
    (items, parser.last_id().to_string())
}

/// Type, data and id of all events; nothing else may be said.
fn events(stream: &[u8]) -> Vec<(String, String, String)> {
    let (whole, id) = said(SIZES, &[stream]);
    let bytes: Vec<_> = stream.chunks(1).collect();
    assert_eq!(said(SIZES, &bytes), (whole.clone(), id), "where a chunk ends makes no difference");
    let event = |item| match item {
        Item::Event { event, .. } => (event.event.to_string(), event.data, event.id.to_string()),
        other => panic!("{other:?}"),
    };
    whole.into_iter().map(event).collect()
}

fn data(stream: &[u8]) -> Vec<String> {
    events(stream).into_iter().map(|(_, data, _)| data).collect()
}

#[test]
fn lines_end_in_lf_cr_or_crlf_in_any_mix() {
    assert_eq!(data(b"data: a\n\ndata: b\r\rdata: c\r\n\r\ndata: d\r\ndata: e\n\r"), ["a", "b", "c", "d\ne"]);
    assert_eq!(data(b"data: a\r\n\ndata: b\n\r\n"), ["a", "b"]);
}

#[test]
fn a_crlf_split_over_two_chunks_counts_once() {
    let (items, _) = said(SIZES, &[b"data: a\r", b"\ndata: b\r", b"\n\r", b"\n", b"data: c\r\n\r\n"]);
    let data: Vec<_> = items
        .iter()
        .map(|item| match item {
            Item::Event { event, .. } => event.data.as_str(),
            other => panic!("{other:?}"),
        })
        .collect();
    assert_eq!(data, ["a\nb", "c"]);
}

#[test]
fn an_event_whose_blank_line_ends_in_cr_does_not_wait_for_the_next_byte() {
    let (items, _) = said(SIZES, &[b"data: a\r\r"]);
    assert_eq!(items.len(), 1);
}

#[test]
fn one_byte_order_mark_at_the_start_is_skipped_and_a_second_is_part_of_a_field_name() {
    assert_eq!(data(b"\xEF\xBB\xBFdata: a\n\n"), ["a"]);
    assert_eq!(data(b"\xEF\xBB\xBF\xEF\xBB\xBFdata: a\n\n"), [""; 0]);
    assert_eq!(data(b"data: a\n\n\xEF\xBB\xBFdata: b\n\n"), ["a"]);
    assert_eq!(data(b"\xEF\xBB\xBF\ndata: a\n\n"), ["a"]);
}

#[test]
fn a_data_field_without_a_value_is_an_event_with_empty_data() {
    assert_eq!(data(b"data:\n\n"), [""]);
    assert_eq!(data(b"data\n\n"), [""]);
    assert_eq!(data(b"data\ndata\n\ndata:\n"), ["\n"]);
}

#[test]
fn data_lines_are_joined_by_a_line_feed_and_one_leading_space_is_removed() {
    assert_eq!(data(b"data:a\ndata: b\ndata:  c\ndata:\td\n\n"), ["a\nb\n c\n\td"]);
}

#[test]
fn an_event_without_its_blank_line_is_dropped_and_its_id_is_not_committed() {
    assert_eq!(said(SIZES, &[b"id: 1\ndata: a\n\nid: 2\ndata: b\n"]).1, "1");
    assert_eq!(data(b"id: 1\ndata: a\n\nid: 2\ndata: b\n"), ["a"]);
}

#[test]
fn an_id_is_committed_by_the_blank_line_also_where_there_is_no_data() {
    assert_eq!(said(SIZES, &[b"id: 7\n\n"]), (vec![], "7".to_owned()));
    let read = events(b"id: 7\n\ndata: a\n\n");
    assert_eq!(read, [("message".into(), "a".into(), "7".into())]);
}

#[test]
fn an_id_with_a_nul_is_ignored_and_an_id_alone_resets_it() {
    assert_eq!(said(SIZES, &[b"id: 1\n\nid: a\0b\n\n"]).1, "1");
    assert_eq!(said(SIZES, &[b"id: 1\n\nid: \0\n\n"]).1, "1");
    assert_eq!(said(SIZES, &[b"id: 1\n\nid:\n\n"]).1, "");
    assert_eq!(said(SIZES, &[b"id: 1\n\nid\n\n"]).1, "");
}

#[test]
fn the_type_is_for_one_event_and_message_where_there_is_none() {
    let read = events(b"event: add\ndata: a\n\ndata: b\n\nevent: gone\n\ndata: c\n\nevent:\ndata: d\n\n");
    let types: Vec<_> = read.iter().map(|(kind, ..)| kind.as_str()).collect();
    assert_eq!(types, ["add", "message", "message", "message"]);
}

#[test]
fn retry_is_milliseconds_of_digits_alone() {
    let retry = |value: &str| said(SIZES, &[format!("retry:{value}\n").as_bytes()]).0;
    assert_eq!(retry("03000"), [Item::Retry(Duration::from_secs(3))]);
    assert_eq!(retry(" 5"), [Item::Retry(Duration::from_millis(5))]);
    assert_eq!(retry("99999999999999999999999"), [Item::Retry(Duration::from_millis(u64::MAX))]);
    for ignored in ["1000x", "", "-1", "+1", "1.5", "  5", "5 ", "\u{661}"] {
        assert_eq!(retry(ignored), [], "{ignored}");
    }
}

#[test]
fn comments_and_unknown_fields_say_nothing_of_the_event() {
    let (items, _) = said(SIZES, &[b": beat\n:\ndata: a\nDATA: b\n data: c\nfoo\n:data: d\n\n"]);
    let event = Event { event: "message".into(), data: "a".into(), id: "".into() };
    let event = Item::Event { event, named: false };
    assert_eq!(items, [Item::Comment, Item::Comment, Item::Comment, event]);
}

#[test]
fn a_character_of_several_bytes_is_the_same_wherever_a_part_of_a_line_ends_in_it() {
    let text = "\u{e9}\u{20ac}\u{1f980}.";
    assert_eq!(data(format!("data: {text}\n\n").as_bytes()), [text]);
    let mut open = Data::default();
    open.line(b"");
    text.as_bytes().chunks(1).for_each(|byte| open.part(byte));
    assert_eq!(open.take().as_deref(), Some(text));
}

#[test]
fn bytes_that_are_no_utf_8_are_replaced() {
    assert_eq!(data(b"data: a\xFFb\xE2\x82\n\n"), ["a\u{FFFD}b\u{FFFD}"]);
    // Also where the line came in pieces.
    let mut open = Data::default();
    open.line(b"");
    b"b\xE2\x82".chunks(1).for_each(|byte| open.part(byte));
    open.end();
    assert_eq!(open.take().as_deref(), Some("b\u{FFFD}"));
}

#[test]
fn a_line_above_its_limit_is_said_once_and_the_stream_goes_on_after_its_event() {
    let long = [b"id: 3\ndata: ".as_slice(), &[b'x'; 60], b"\ndata: more\n\nid: 4\ndata: b\n\n"].concat();
    let after = Event { event: "message".into(), data: "b".into(), id: "4".into() };
    let expected = vec![Item::TooLarge, Item::Event { event: after, named: true }];
    let whole = said(SIZES, &[&long]);
    assert_eq!(whole, (expected, "4".to_owned()));
    assert_eq!(said(SIZES, &long.chunks(1).collect::<Vec<_>>()), whole);
    let fits = [b"data: ".as_slice(), &[b'x'; 58], b"\n\n"].concat();
    assert_eq!(data(&fits), ["x".repeat(58)]);
}

#[test]
fn an_event_above_its_limit_is_said_once_and_its_id_counts() {
    let long = b"data: xxxxxxxxxxxxxxxxxxxx\n".repeat(5);
    let stream = [&long[..], b"id: 9\n\n"].concat();
    assert_eq!(said(SIZES, &[&stream]), (vec![Item::TooLarge], "9".to_owned()));
    // 4 x 20 bytes and three line feeds between them: 83, and an id of 17.
    let fits = [&long[..27 * 4], b"id: 12345678901234567\n\n"].concat();
    assert_eq!(events(&fits).len(), 1);
    let above = [&long[..27 * 4], b"id: 123456789012345678\n\n"].concat();
    assert_eq!(said(SIZES, &[&above]), (vec![Item::TooLarge], "123456789012345678".to_owned()));
}

#[test]
fn an_id_that_fills_an_event_is_kept_and_a_longer_one_is_not() {
    let sizes = Sizes { line: 200, event: 20 };
    for (length, kept) in [(20, true), (21, false)] {
        let id = "7".repeat(length);
        let stream = format!("id: 1\n\nevent: x\nid: {id}\n\n");
        let last = if kept { id } else { "1".to_owned() };
        assert_eq!(said(sizes, &[stream.as_bytes()]), (vec![Item::TooLarge], last), "{length}");
    }
}

#[test]
fn a_line_without_end_costs_a_bounded_amount_of_memory_and_is_given_up() {
    let mut parser = Parser::new(SIZES, "".into());
    let mut said = Vec::new();
    for _ in 0..100 {
        let mut chunk: &[u8] = &[b'x'; 50];
        said.extend(parser.next(&mut chunk));
        assert!(parser.line.capacity() + parser.data.capacity() <= 2 * SIZES.line);
    }
    assert_eq!(said[..2], [Item::TooLarge, Item::Endless]);
}
