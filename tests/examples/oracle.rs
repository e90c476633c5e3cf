//! Compares Linux and the lab: fixed cases, random operations, or one script. Called by `scripts/oracle.sh`, which says
//! what the options mean.

use std::{env, fs, path::PathBuf, process::ExitCode, time::Instant};

use pagelab_tests::{
    compile_oracle,
    oracle::{
        CASES, Outcome, Side,
        sequence::{EPISODE_LENGTH, Found, Random, Search, read_script, script},
    },
};
use tempfile::TempDir;

/// What was asked for.
#[derive(Debug, Default)]
struct Options {
    pagelab: Option<PathBuf>,
    filter: String,
    random: Option<usize>,
    seeds: Vec<u64>,
    episode: Option<usize>,
    script: Option<PathBuf>,
    timeout: u32,
    itself: bool,
    list: bool,
    print: bool,
    lab_options: Vec<String>,
    record: Option<PathBuf>,
    answers: Option<PathBuf>,
}

fn options() -> Result<Options, String> {
    let mut options = Options { seeds: vec![1, 2, 3], timeout: 600, ..Options::default() };
    let mut args = env::args().skip(1);
    while let Some(name) = args.next() {
        let mut value = || args.next().ok_or_else(|| format!("{name} needs a value"));
        match name.as_str() {
            "--pagelab" => options.pagelab = Some(value()?.into()),
            "--filter" => options.filter = value()?,
            "--random" => options.random = Some(number(&value()?)?),
            "--seeds" => options.seeds = value()?.split(',').map(number).collect::<Result<_, _>>()?,
            "--episode" => options.episode = Some(number(&value()?)?),
            "--script" => options.script = Some(value()?.into()),
            "--timeout" => options.timeout = number(&value()?)?,
            "--lab-option" => options.lab_options.push(value()?),
            "--record" => options.record = Some(value()?.into()),
            "--answers" => options.answers = Some(value()?.into()),
            "--itself" => options.itself = true,
            "--print" => options.print = true,
            "--list" => options.list = true,
            _ => return Err(format!("unknown option {name}")),
        }
    }
    Ok(options)
}

fn number<T: std::str::FromStr>(text: &str) -> Result<T, String> {
    text.parse().map_err(|_| format!("{text:?} is no number"))
}

fn main() -> ExitCode {
    match options().and_then(|options| examine(&options)) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("oracle: {error}");
            ExitCode::from(125)
        }
    }
}

/// Whether everything that was asked for was compared and equal.
fn examine(options: &Options) -> Result<bool, String> {
    if options.list {
        for case in CASES {
            println!("{:<20} {}", case.name, case.about);
        }
        return Ok(true);
    }
    if options.print {
        for &seed in &options.seeds {
            let mut random = Random::new(seed);
            let count = options.random.unwrap_or(0).div_ceil(options.seeds.len().max(1));
            script(&mut random, options.episode.unwrap_or(EPISODE_LENGTH), count)
                .iter()
                .for_each(|operation| println!("{operation}"));
        }
        return Ok(true);
    }
    let lab = || match (options.itself, &options.pagelab) {
        (true, _) => Ok(Side::Native),
        (false, Some(pagelab)) => Ok(Side::Lab {
            pagelab: fs::canonicalize(pagelab).map_err(|error| format!("{}: {error}", pagelab.display()))?,
            options: options.lab_options.clone(),
            timeout: options.timeout,
        }),
        (false, None) => Err("which pagelab? --pagelab FILE".to_owned()),
    };
    let linux = match (&options.record, &options.answers) {
        (Some(folder), _) => Side::Recording(folder.clone()),
        (_, Some(folder)) => Side::Recorded(folder.clone()),
        _ => Side::Native,
    };
    // Where answers are recorded there may be no lab.
    let lab = || if options.record.is_some() { Ok(Side::Native) } else { lab() };
    let folder = TempDir::new().map_err(|error| error.to_string())?;
    if options.random.is_none() && options.script.is_none() {
        return cases(options, &linux, &lab()?, &folder);
    }
    let mut search = Search::new(compile_oracle(folder.path(), "sequence"), linux, lab()?);
    search.episode_length = options.episode.unwrap_or(search.episode_length);
    if let Some(file) = &options.script {
        let text = fs::read_to_string(file).map_err(|error| format!("{}: {error}", file.display()))?;
        let script = read_script(&text)?;
        let found = search.script(&script)?;
        match &found {
            Some(found) => show(found),
            None => println!("{} operations equal", script.len()),
        }
        return Ok(found.is_none() && !script.is_empty());
    }
    random(options, &search)
}

fn cases(options: &Options, linux: &Side, lab: &Side, folder: &TempDir) -> Result<bool, String> {
    let (mut equal, mut different, mut skipped) = (0, Vec::new(), 0);
    for case in CASES.iter().filter(|case| case.name.contains(&options.filter)) {
        match case.compare(folder.path(), linux, lab) {
            Outcome::Equal(lines) => {
                equal += 1;
                println!("equal      {:<20} {lines:>5} lines  {}", case.name, case.about);
            }
            Outcome::Different(text) => {
                different.push(case.name);
                println!("DIFFERENT  {:<20} {}\n{text}", case.name, case.about);
            }
            Outcome::Skipped(reason) => {
                skipped += 1;
                println!("skipped    {:<20} {reason}", case.name);
            }
        }
    }
    println!("cases: {equal} equal, {} different, {skipped} skipped", different.len());
    if !different.is_empty() {
        println!("different: {}", different.join(" "));
    }
    Ok(equal > 0 && different.is_empty())
}

fn random(options: &Options, search: &Search) -> Result<bool, String> {
    let count = options.random.unwrap_or(0).div_ceil(options.seeds.len().max(1));
    let (mut equal, mut differing) = (0, 0);
    for &seed in &options.seeds {
        let started = Instant::now();
        let (progress, found) = search.seed(seed, count)?;
        equal += progress.operations;
        let seconds = started.elapsed().as_secs_f64();
        println!("seed {seed}: {} operations equal in {} runs, {seconds:.1} s", progress.operations, progress.runs);
        if let Some(found) = found {
            differing += 1;
            show(&found);
        }
    }
    println!("random: {equal} operations equal, {differing} of {} seeds differ", options.seeds.len());
    Ok(equal > 0 && differing == 0)
}

fn show(found: &Found) {
    println!("A difference after {} operations, shrunk to {}:\n{}", found.length, found.script.len(), found.text);
    println!("as a script for --script:");
    found.script.iter().for_each(|operation| println!("{operation}"));
}
