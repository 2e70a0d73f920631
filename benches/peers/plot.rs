//! The plot: three panels of bars, cold above warm, written as SVG by hand. Colours hold on a light and a dark page.

use std::fmt::Write;

use super::game::Figures;

const LABELS: f64 = 210.0;
const PANEL: f64 = 190.0;
/// Room right of the longest bar for its figure.
const FIGURE: f64 = 56.0;
const GAP: f64 = 24.0;
const ROW: f64 = 38.0;
const TOP: f64 = 62.0;

const STYLE: &str = "text{font:13px system-ui,sans-serif;fill:#24292f}.head{font-weight:600}.small{font-size:11px}\
    .cold{fill:#8c959f}.warm{fill:#0969da}.axis{stroke:#8c959f}\
    @media(prefers-color-scheme:dark){text{fill:#e6edf3}.cold{fill:#6e7681}.warm{fill:#58a6ff}.axis{stroke:#6e7681}}";

/// A panel: its heading, and the figures of a peer in it with the class of each bar.
type Panel = (&'static str, fn(&Figures) -> Vec<(&'static str, f64)>);

const PANELS: [Panel; 3] = [
    ("records/s, more is better", |f| vec![("cold", f.cold.per_second), ("warm", f.warm.per_second)]),
    ("CPU us/record, less is better", |f| vec![("cold", f.cold.cpu_us), ("warm", f.warm.cpu_us)]),
    ("peak MiB, less is better", |f| vec![("warm", f.peak_mib)]),
];

/// The whole picture; a bar's length is its share of the longest in its panel.
pub(crate) fn draw(peers: &[(&str, Figures)]) -> String {
    let width = LABELS + PANELS.len() as f64 * (PANEL + GAP);
    let height = TOP + peers.len() as f64 * ROW + 10.0;
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {width} {height}\" width=\"{width}\" height=\"{height}\" \
         role=\"img\" aria-label=\"handback and its peers\"><style>{STYLE}</style>\n"
    );
    legend(&mut svg);
    for (row, (title, _)) in peers.iter().enumerate() {
        text(&mut svg, 4.0, TOP + row as f64 * ROW + 20.0, "", title);
    }
    for (column, panel) in PANELS.iter().enumerate() {
        draw_panel(&mut svg, LABELS + column as f64 * (PANEL + GAP), panel, peers);
    }
    svg + "</svg>\n"
}

fn legend(svg: &mut String) {
    for (x, class, meaning) in [(4.0, "cold", "cold: first half"), (110.0, "warm", "warm: second half")] {
        writeln!(svg, "<rect class=\"{class}\" x=\"{x}\" y=\"12\" width=\"10\" height=\"10\"/>").unwrap();
        text(svg, x + 14.0, 21.0, "small", meaning);
    }
}

fn draw_panel(svg: &mut String, left: f64, (heading, figures): &Panel, peers: &[(&str, Figures)]) {
    text(svg, left, TOP - 14.0, "head", heading);
    let bottom = TOP + peers.len() as f64 * ROW;
    writeln!(svg, "<path class=\"axis\" d=\"M{left} {TOP}V{bottom}\"/>").unwrap();
    let longest = peers.iter().flat_map(|(_, f)| figures(f)).map(|(_, value)| value).fold(f64::MIN_POSITIVE, f64::max);
    for (row, (_, f)) in peers.iter().enumerate() {
        let bars = figures(f);
        let thick = 26.0 / bars.len().max(2) as f64;
        let top = TOP + row as f64 * ROW + (ROW - thick * bars.len() as f64) / 2.0;
        for (number, (class, value)) in bars.into_iter().enumerate() {
            let (y, length) = (top + number as f64 * thick, value / longest * (PANEL - FIGURE));
            writeln!(
                svg,
                "<rect class=\"{class}\" x=\"{left}\" y=\"{y:.1}\" width=\"{length:.1}\" height=\"{:.1}\"/>",
                thick - 1.0
            )
            .unwrap();
            text(svg, left + length + 4.0, y + thick - 3.0, "small", &short(value));
        }
    }
}

fn text(svg: &mut String, x: f64, y: f64, class: &str, words: &str) {
    writeln!(svg, "<text class=\"{class}\" x=\"{x:.1}\" y=\"{y:.1}\">{words}</text>").unwrap();
}

/// Three figures are as many as mean something.
fn short(value: f64) -> String {
    match value {
        v if v >= 10_000.0 => format!("{:.1} k", v / 1000.0),
        v if v >= 1000.0 => format!("{:.2} k", v / 1000.0),
        v if v >= 100.0 => format!("{v:.0}"),
        v => format!("{v:.1}"),
    }
}
