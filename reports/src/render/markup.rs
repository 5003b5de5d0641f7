//! Pieces of HTML that every part of the page is made of.

use crate::render::tables::Fact;

/// `text` with the five characters that HTML and XML give a meaning replaced, and without those that XML 1.0 section
/// 2.2 forbids.
pub fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\'' => escaped.push_str("&#39;"),
            '\n' | '\t' => escaped.push(character),
            '\u{fffe}' | '\u{ffff}' => escaped.push('\u{fffd}'),
            other if other.is_control() => escaped.push('\u{fffd}'),
            other => escaped.push(other),
        }
    }
    escaped
}

/// A named part of the page with a note beside its name; nothing where it has no content.
pub fn section(name: &str, note: &str, content: String) -> String {
    if content.is_empty() {
        return String::new();
    }
    format!(
        "<section>\n<header><h2>{name}</h2>\n<p>{note}</p></header>\n<div class=\"content\">\n{content}</div>\n</section>\n"
    )
}

/// A table of cells that are markup already; nothing where it has no rows.
pub fn table(caption: &str, heads: &[&str], rows: Vec<Vec<String>>) -> String {
    if rows.is_empty() {
        return String::new();
    }
    let heads = heads.iter().map(|head| format!("<th scope=\"col\">{head}</th>"));
    let mut html = format!(
        "<table>\n<caption>{caption}</caption>\n<thead><tr>{}</tr></thead>\n<tbody>\n",
        heads.collect::<String>()
    );
    for row in rows {
        let cells = row.into_iter().enumerate().map(|(column, cell)| match column {
            0 => format!("<th scope=\"row\">{cell}</th>"),
            _ => format!("<td>{cell}</td>"),
        });
        html += &format!("<tr>{}</tr>\n", cells.collect::<String>());
    }
    scrolling(caption, &(html + "</tbody>\n</table>\n"))
}

/// What may be wider than a narrow screen scrolls in a frame of its own, which the keyboard reaches too.
pub fn scrolling(name: &str, html: &str) -> String {
    format!("<div class=\"scroll\" role=\"region\" aria-label=\"{name}\" tabindex=\"0\">\n{html}</div>\n")
}

pub fn facts(facts: &[Fact]) -> String {
    let rows = facts.iter().map(|fact| format!("<div><dt>{}</dt><dd>{}</dd></div>\n", fact.label, escape(&fact.value)));
    format!("<dl class=\"facts\">\n{}</dl>\n", rows.collect::<String>())
}

#[cfg(test)]
mod tests {
    use super::escape;

    #[test]
    fn text_never_becomes_markup() {
        for (text, escaped, why) in [
            ("<b>&\"'", "&lt;b&gt;&amp;&quot;&#39;", "markup"),
            ("a\nb\tc", "a\nb\tc", "white space stays"),
            ("\u{0}\u{1b}[31m\u{ffff}", "\u{fffd}\u{fffd}[31m\u{fffd}", "forbidden in XML"),
            ("naïve 日本", "naïve 日本", "letters stay"),
        ] {
            assert_eq!(super::escape(text), escaped, "{why}");
        }
        assert_eq!(escape(""), "");
    }
}
