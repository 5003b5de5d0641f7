//! Pieces of HTML that every part of the page is made of. Text is escaped by construction (`maud`).

use maud::{Markup, Render, html};

use crate::render::tables::Fact;

/// A named part of the page with a note beside its name; nothing where it has no content.
pub fn section(name: &str, note: &str, content: Markup) -> Markup {
    html! {
        @if !content.0.is_empty() {
            section {
                header { h2 { (name) } p { (note) } }
                div class="content" { (content) }
            }
        }
    }
}

/// A table whose first column names the rows; nothing where it has no rows.
pub fn table<Cell: Render>(caption: &str, heads: &[&str], rows: impl Iterator<Item = Vec<Cell>>) -> Markup {
    let mut rows = rows.peekable();
    if rows.peek().is_none() {
        return Markup::default();
    }
    let table = html! {
        table {
            caption { (caption) }
            thead { tr { @for head in heads { th scope="col" { (head) } } } }
            tbody {
                @for row in rows {
                    tr {
                        @for (column, cell) in row.into_iter().enumerate() {
                            @if column == 0 { th scope="row" { (cell) } } @else { td { (cell) } }
                        }
                    }
                }
            }
        }
    };
    scrolling(caption, &table)
}

/// What may be wider than a narrow screen scrolls in a frame of its own, which the keyboard reaches too.
pub fn scrolling(name: &str, content: &Markup) -> Markup {
    html! { div class="scroll" role="region" aria-label=(name) tabindex="0" { (content) } }
}

/// Names and values side by side.
pub fn facts(facts: &[Fact]) -> Markup {
    html! { dl class="facts" { @for fact in facts { div { dt { (fact.label) } dd { (fact.value) } } } } }
}
