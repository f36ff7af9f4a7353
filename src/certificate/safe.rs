//! Foreign text made fit for a terminal and a log line.
//!
//! Ticket titles, reasons, priorities and file contents are written by others, and a terminal obeys
//! what it prints: an escape sequence clears the screen that asks for an approval, a right-to-left
//! override turns a host's name around. What goes through [`Safe`] comes out as one line of printable
//! ASCII, whatever went in.

use std::fmt::{self, Write as _};

/// Displays any text as at most [`Safe::WIDTH`] characters from space to tilde.
///
/// Everything else becomes `\n`, `\r`, `\t` or `\u{1b}`, and a backslash is doubled, so that what is
/// shown can be told from what somebody typed to look like it. What is too long ends in `...`.
#[derive(Debug, Clone, Copy)]
pub struct Safe<'a>(pub &'a str);

impl Safe<'_> {
    /// The most characters that are shown; the terminal's columns, since all are ASCII.
    pub const WIDTH: usize = 200;
}

impl fmt::Display for Safe<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut shown = String::new();
        // Where the text can be cut so that the dots still fit behind it.
        let mut cut = 0;
        for c in self.0.chars() {
            escape(c, &mut shown)?;
            if shown.len() <= Self::WIDTH - DOTS.len() {
                cut = shown.len();
            }
            if shown.len() > Self::WIDTH {
                shown.truncate(cut);
                shown.push_str(DOTS);
                break;
            }
        }
        f.pad(&shown)
    }
}

/// What stands for the rest of a text that is too long.
const DOTS: &str = "...";

/// Writes one character so that it can do nothing but be read.
fn escape(c: char, to: &mut String) -> fmt::Result {
    match c {
        '\\' => to.write_str("\\\\"),
        '\n' => to.write_str("\\n"),
        '\r' => to.write_str("\\r"),
        '\t' => to.write_str("\\t"),
        ' '..='~' => to.write_char(c),
        _ => write!(to, "\\u{{{:x}}}", u32::from(c)),
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// What attackers put into tickets, file names and reasons.
    pub(crate) const CORPUS: &[&str] = &[
        "",
        " ",
        "plain",
        "\0",
        "a\0b",
        "\u{1}\u{2}\u{3}\u{4}\u{5}\u{6}",
        "\u{7}bell",
        "rub\u{8}\u{8}\u{8}out",
        "tab\tbed",
        "two\nlines",
        "two\r\nlines",
        "over\rwritten",
        "\u{b}\u{c}",
        "\u{e}shift out\u{f}",
        "\u{10}\u{11}\u{12}\u{13}\u{14}",
        "\u{1a}eof",
        "\u{1b}",
        "\u{1b}[2J",
        "\u{1b}[31mred\u{1b}[0m",
        "\u{1b}[1A\u{1b}[2Kapproved by bob",
        "\u{1b}]0;title\u{7}",
        "\u{1b}]52;c;Y3VybCBldmls\u{7}",
        "\u{1b}]8;;https://evil.example\u{1b}\\link\u{1b}]8;;\u{1b}\\",
        "\u{1b}P+q\u{1b}\\",
        "\u{1b}c",
        "\u{1b}(0",
        "\u{1b}[?1049h",
        "\u{1b}[6n",
        "\u{1b}[5;1H",
        "\u{1c}\u{1d}\u{1e}\u{1f}",
        "\u{7f}",
        "\u{80}",
        "\u{84}\u{85}next line",
        "\u{8d}",
        "\u{90}q\u{9c}",
        "\u{9b}31m",
        "\u{9d}0;t\u{9c}",
        "\u{9f}",
        "\u{a0}",
        "soft\u{ad}hyphen",
        "a\u{300}\u{301}\u{302}\u{303}",
        "\u{34f}",
        "\u{61c}",
        "\u{115f}\u{1160}",
        "\u{180e}",
        "\u{200b}zero",
        "\u{200c}\u{200d}",
        "\u{200e}\u{200f}",
        "line\u{2028}separator",
        "para\u{2029}separator",
        "\u{202a}\u{202b}\u{202c}",
        "\u{202d}",
        "10bew\u{202e}@toor",
        "\u{2060}\u{2061}\u{2062}\u{2063}\u{2064}",
        "\u{2066}\u{2067}\u{2068}\u{2069}",
        "\u{206a}\u{206f}",
        "\u{3000}wide",
        "\u{3164}",
        "\u{fe0f}",
        "\u{feff}bom",
        "\u{ff1d}cmd",
        "\u{ffa0}",
        "\u{fff9}\u{fffa}\u{fffb}",
        "\u{fffd}",
        "\u{ffff}",
        "r\u{43e}\u{43e}t",
        "\u{1f600}",
        "\u{1f468}\u{200d}\u{1f469}\u{200d}\u{1f467}",
        "\u{e0001}\u{e0041}\u{e007f}",
        "\u{e000}",
        "\u{10ffff}",
        "b\u{f6}se",
        "\\",
        "\\u{1b}[2J",
        "\\n",
        "'; rm -rf /; '",
        "$(reboot)",
        "`reboot`",
        "%s%n%1000000d",
        "<script>alert(1)</script>",
        "=HYPERLINK(\"evil\")",
        "hallpass: issued\nhallpass: approved",
    ];

    #[test]
    fn whatever_goes_in_one_line_of_printable_ascii_comes_out() {
        assert!(CORPUS.len() >= 60);
        let long: Vec<String> = CORPUS.iter().map(|text| text.repeat(300)).collect();
        for text in CORPUS.iter().copied().chain(long.iter().map(String::as_str)) {
            let shown = Safe(text).to_string();
            assert!(shown.bytes().all(|b| (0x20..=0x7e).contains(&b)), "{text:?} -> {shown:?}");
            assert!(shown.len() <= Safe::WIDTH, "{text:?} -> {} columns", shown.len());
        }
    }

    #[test]
    fn different_texts_never_look_the_same() {
        let mut shown: Vec<String> = CORPUS.iter().map(|text| Safe(text).to_string()).collect();
        shown.sort();
        shown.dedup();
        assert_eq!(shown.len(), CORPUS.len());
        assert_ne!(Safe("\u{1b}[2J").to_string(), Safe("\\u{1b}[2J").to_string());
    }

    #[test]
    fn every_character_on_its_own_is_safe() {
        for c in (0..=0x0010_ffff).filter_map(char::from_u32) {
            let mut shown = String::new();
            escape(c, &mut shown).unwrap();
            assert!(shown.bytes().all(|b| (0x20..=0x7e).contains(&b)), "{:x}", u32::from(c));
        }
    }

    #[test]
    fn escapes_are_written_as_rust_writes_them() {
        assert_eq!(Safe("a\u{1b}[2Jb\n\u{202e}").to_string(), "a\\u{1b}[2Jb\\n\\u{202e}");
        assert_eq!(Safe("C:\\x").to_string(), "C:\\\\x");
        assert_eq!(format!("[{:>5}]", Safe("ab")), "[   ab]");
    }

    #[test]
    fn a_long_text_is_cut_between_characters_and_says_so() {
        assert_eq!(Safe(&"x".repeat(200)).to_string(), "x".repeat(200));
        assert_eq!(Safe(&"x".repeat(201)).to_string(), format!("{}...", "x".repeat(197)));
        let escapes = Safe(&"\u{1b}".repeat(100)).to_string();
        assert_eq!(escapes, format!("{}...", "\\u{1b}".repeat(32)));
    }
}
