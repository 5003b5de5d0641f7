//! PEM blocks (RFC 7468). Text between two blocks is ignored.

use base64_simd::STANDARD;

use crate::keys::KeyError;

/// The start of a block, before its label and five more dashes.
pub(super) const BEGIN: &str = "-----BEGIN ";

const END: &str = "-----END ";
const DASHES: &str = "-----";

pub(super) struct Block<'t> {
    /// The line of its `BEGIN`, counted from 1.
    pub line: usize,
    /// Its label, such as `PUBLIC KEY`.
    pub label: &'t str,
    /// Its decoded content, which need not be DER.
    pub der: Vec<u8>,
}

/// Every block in `text`, in order.
///
/// # Errors
/// [`KeyError::PemMalformed`] for a block without an end, with an end of another label, or with content that is not
/// base64.
pub(super) fn blocks(text: &str) -> Result<Vec<Block<'_>>, KeyError> {
    let mut blocks = Vec::new();
    let mut open: Option<(usize, &str, String)> = None;
    for (index, line) in text.lines().map(str::trim).enumerate() {
        match (&mut open, label(line, BEGIN), label(line, END)) {
            (None, Some(label), _) => open = Some((index + 1, label, String::new())),
            (None, None, _) => {}
            (Some((start, label, content)), _, Some(end)) => {
                if *label != end {
                    return Err(malformed(*start, "its end has another label"));
                }
                let der =
                    STANDARD.decode_to_vec(&*content).map_err(|_| malformed(*start, "its content is not base64"))?;
                blocks.push(Block { line: *start, label, der });
                open = None;
            }
            (Some((start, ..)), Some(_), None) => {
                return Err(malformed(*start, "another block begins inside it"));
            }
            (Some((_, _, content)), None, None) => content.push_str(line),
        }
    }
    match open {
        Some((start, ..)) => Err(malformed(start, "it has no end")),
        None => Ok(blocks),
    }
}

/// The label of a line that begins or ends a block.
fn label<'t>(line: &'t str, prefix: &str) -> Option<&'t str> {
    line.strip_prefix(prefix)?.strip_suffix(DASHES)
}

fn malformed(line: usize, problem: &'static str) -> KeyError {
    KeyError::PemMalformed { line, problem }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn text_between_blocks_is_ignored() {
        let text = "a note\r\n-----BEGIN A-----\r\nAQID\r\nBA==\r\n-----END A-----\r\n\
                    \n-----BEGIN B C-----\n-----END B C-----";
        let blocks = blocks(text).unwrap();
        assert_eq!(blocks.len(), 2);
        assert_eq!((blocks[0].line, blocks[0].label), (2, "A"));
        assert_eq!(blocks[0].der, [1, 2, 3, 4]);
        assert_eq!((blocks[1].label, blocks[1].der.len()), ("B C", 0));
    }

    #[test]
    fn a_malformed_block_is_refused_with_its_line() {
        for (text, problem) in [
            ("\n-----BEGIN A-----\nAQID\n", "it has no end"),
            ("\n-----BEGIN A-----\nAQID\n-----END B-----\n", "its end has another label"),
            ("\n-----BEGIN A-----\nA!ID\n-----END A-----\n", "its content is not base64"),
            ("\n-----BEGIN A-----\n-----BEGIN A-----\n-----END A-----\n", "another block begins inside it"),
        ] {
            match blocks(text) {
                Err(KeyError::PemMalformed { line: 2, problem: found }) => assert_eq!(found, problem),
                _ => panic!("no error, or another one: {problem}"),
            }
        }
    }

    proptest! {
        #[test]
        fn any_text_is_blocks_or_an_error(text in "(-----(BEGIN|END) [AB]-----|[A-D=]{0,5}|\n|.){0,30}") {
            let _ = blocks(&text);
        }

        #[test]
        fn every_encoded_block_is_decoded(der in proptest::collection::vec(any::<u8>(), 0..300)) {
            let body = STANDARD.encode_to_string(&der);
            let text = format!("-----BEGIN X-----\n{body}\n-----END X-----\n");
            prop_assert_eq!(&blocks(&text).unwrap()[0].der, &der);
        }
    }
}
