//! Fragmentation over time: the built-in program `fragment`, once with migrate types kept apart and once without.

use std::path::{Path, PathBuf};

use anyhow::{Context, ensure};
use clap::Args;
use plotters::prelude::*;

use crate::lab;

const SIZE: (u32, u32) = (800, 450);
/// Name and options of the two runs.
const RUNS: [(&str, &[&str]); 2] = [("kept apart", &[]), ("mixed", &["--no-mobility-grouping"])];

#[derive(Args)]
pub(crate) struct Options {
    /// Guest memory.
    #[arg(long, value_name = "SIZE", default_value = "64M")]
    memory: String,
    /// Times that memory is filled again.
    #[arg(long, value_name = "N", default_value_t = 5)]
    rounds: u32,
    /// Where the plot goes, as SVG.
    #[arg(long, value_name = "FILE")]
    plot: Option<PathBuf>,
}

/// Memory when all that can be moved has been given back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Empty {
    /// Blocks of 2 MiB.
    huge: u32,
    /// Blocks of 2 MiB that the free pages would make if they lay together.
    possible: u32,
    /// Thousandths of the free pages that are in smaller blocks.
    unusable: u32,
}

impl Options {
    pub(crate) fn run(&self, pagelab: &Path, scratch: &Path) -> anyhow::Result<()> {
        let rounds = self.rounds.to_string();
        let mut curves = Vec::new();
        for (name, options) in RUNS {
            let options = [&["--memory", &self.memory], options].concat();
            let finished = lab::run(pagelab, scratch, "fragment", &options, &["--rounds", &rounds])?;
            let curve = parse(&finished.console)?;
            ensure!(curve.len() as u32 == self.rounds + 1, "fragment told {} rounds", curve.len());
            curves.push((name, curve));
        }
        println!("blocks of 2 MiB once all movable memory is given back, of those the free pages would make");
        println!("{:>5}  {:>14}  {:>14}", "round", RUNS[0].0, RUNS[1].0);
        for round in 0..=self.rounds as usize {
            let told = |run: usize| {
                let Empty { huge, possible, .. } = curves[run].1[round];
                format!("{huge} of {possible}")
            };
            println!("{round:>5}  {:>14}  {:>14}", told(0), told(1));
        }
        match &self.plot {
            Some(file) => draw(file, &curves).with_context(|| format!("cannot write {}", file.display())),
            None => Ok(()),
        }
    }
}

/// The lines `empty ROUND: free N huge N of N unusable N`.
fn parse(console: &str) -> anyhow::Result<Vec<Empty>> {
    let lines = console.lines().filter(|line| line.starts_with("empty "));
    lines
        .map(|line| {
            let words: Vec<&str> = line.split_whitespace().collect();
            let number = |at: usize| words.get(at).and_then(|word| word.parse().ok());
            let found = || Some(Empty { huge: number(5)?, possible: number(7)?, unusable: number(9)? });
            found().with_context(|| format!("not a line of fragment's: {line}"))
        })
        .collect()
}

fn draw(file: &Path, curves: &[(&str, Vec<Empty>)]) -> anyhow::Result<()> {
    let rounds = curves.iter().map(|(_, curve)| curve.len()).max().unwrap_or(1);
    let root = SVGBackend::new(file, SIZE).into_drawing_area();
    root.fill(&WHITE)?;
    let mut chart = ChartBuilder::on(&root)
        .caption("Free memory in blocks smaller than 2 MiB", ("sans-serif", 22))
        .margin(12)
        .x_label_area_size(45)
        .y_label_area_size(60)
        .build_cartesian_2d(0.0..rounds as f64 - 1.0, 0.0..1.0)?;
    chart
        .configure_mesh()
        .x_desc("round: unmovable memory grows by the same amount in each")
        .y_desc("unusable free space index, order 9")
        .x_labels(rounds)
        .x_label_formatter(&|value| format!("{value:.0}"))
        .light_line_style(TRANSPARENT)
        .draw()?;
    for ((name, curve), colour) in curves.iter().zip([BLUE, RED]) {
        let points = curve.iter().enumerate().map(|(round, empty)| (round as f64, f64::from(empty.unusable) / 1000.0));
        let style = colour.stroke_width(3);
        chart
            .draw_series(LineSeries::new(points, style))?
            .label(format!("migrate types {name}"))
            .legend(move |(x, y)| PathElement::new(vec![(x, y), (x + 20, y)], style));
    }
    chart
        .configure_series_labels()
        .position(SeriesLabelPosition::LowerRight)
        .background_style(WHITE.mix(0.8))
        .border_style(BLACK)
        .draw()?;
    root.present()?;
    Ok(())
}
