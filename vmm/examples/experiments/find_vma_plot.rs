//! The plot of `find_vma`: VMAs against instructions a look-up, both axes logarithmic, a line for each index and pattern.

use std::path::Path;

use plotters::prelude::*;

use crate::find_vma::{Cost, INDEXES, PATTERNS};

const SIZE: (u32, u32) = (800, 500);

/// Writes an SVG file.
pub(crate) fn draw(file: &Path, costs: &[Cost]) -> anyhow::Result<()> {
    let most_vmas = costs.iter().map(|cost| cost.vmas).max().unwrap_or(1);
    let least_vmas = costs.iter().map(|cost| cost.vmas).min().unwrap_or(1);
    let most = costs.iter().map(|cost| cost.instructions).fold(10.0, f64::max);
    let root = SVGBackend::new(file, SIZE).into_drawing_area();
    root.fill(&WHITE)?;
    let mut chart = ChartBuilder::on(&root)
        .caption("What find_vma costs", ("sans-serif", 22))
        .margin(12)
        .x_label_area_size(45)
        .y_label_area_size(70)
        .build_cartesian_2d(
            (f64::from(least_vmas)..f64::from(most_vmas) * 1.2).log_scale(),
            (1.0..most * 1.5).log_scale(),
        )?;
    chart
        .configure_mesh()
        .x_desc("VMAs")
        .y_desc("ring-0 instructions a look-up")
        .x_label_formatter(&|value| format!("{value:.0}"))
        .y_label_formatter(&|value| format!("{value:.0}"))
        .draw()?;
    let colours = [RED, BLUE, GREEN];
    for (index, colour) in INDEXES.into_iter().zip(colours) {
        for (pattern, width) in PATTERNS.into_iter().zip([3, 1]) {
            let points: Vec<(f64, f64)> = costs
                .iter()
                .filter(|cost| cost.index == index && cost.pattern == pattern)
                .map(|cost| (f64::from(cost.vmas), cost.instructions.max(1.0)))
                .collect();
            let style = colour.stroke_width(width);
            chart.draw_series(points.iter().map(|&point| Circle::new(point, 3, colour.filled())))?;
            chart
                .draw_series(LineSeries::new(points, style))?
                .label(format!("{index}, {pattern}"))
                .legend(move |(x, y)| PathElement::new(vec![(x, y), (x + 20, y)], style));
        }
    }
    chart
        .configure_series_labels()
        .position(SeriesLabelPosition::UpperLeft)
        .background_style(WHITE.mix(0.8))
        .border_style(BLACK)
        .draw()?;
    root.present()?;
    Ok(())
}
