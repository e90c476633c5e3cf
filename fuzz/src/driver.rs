//! Runs the cases of a target, and keeps what it finds.

use std::{
    any::Any,
    cell::RefCell,
    fs,
    panic::{self, AssertUnwindSafe},
    path::PathBuf,
    sync::{Arc, Mutex, Once, PoisonError},
    thread,
    time::{Duration, Instant},
};

use fastrand::Rng;

use crate::Target;

/// Findings after which a target is given up.
const MOST_FINDINGS: usize = 20;
/// How long a case may take before the driver says so and ends.
const STUCK: Duration = Duration::from_secs(1800);

/// How long to go on.
#[derive(Clone, Copy, Debug)]
pub enum Until {
    /// So many cases.
    Cases(u64),
    /// So much time.
    Time(Duration),
}

/// What to do.
#[derive(Clone, Debug)]
pub struct Options {
    /// When to end.
    pub until: Until,
    /// Seed of all cases.
    pub seed: u64,
    /// Number of the first case.
    pub first: u64,
    /// Where the inputs of findings are written.
    pub findings: Option<PathBuf>,
    /// End the process when a case gets stuck.
    pub watch: bool,
}

/// A case that found something.
#[derive(Clone, Debug)]
pub struct Finding {
    /// Number of the case.
    pub case: u64,
    /// What is wrong.
    pub what: String,
    /// The input.
    pub input: Vec<u8>,
}

/// What came of a target.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// Cases run.
    pub cases: u64,
    /// How long they took.
    pub time: Duration,
    /// What they found, one of a kind.
    pub findings: Vec<Finding>,
}

/// Runs a target's cases.
pub fn fuzz(target: &mut dyn Target, options: &Options) -> Outcome {
    let begin = Instant::now();
    let watched = Watched::default();
    let _watch = options.watch.then(|| watched.clone().watch(target.name(), options.findings.clone()));
    let mut outcome = Outcome { cases: 0, time: Duration::ZERO, findings: Vec::new() };
    loop {
        let ends = match options.until {
            Until::Cases(cases) => outcome.cases >= cases,
            Until::Time(time) => begin.elapsed() >= time,
        };
        if ends || outcome.findings.len() >= MOST_FINDINGS {
            outcome.time = begin.elapsed();
            return outcome;
        }
        let case = options.first + outcome.cases;
        // Seeds of neighbouring cases have nothing to do with each other.
        let mut random = Rng::with_seed(options.seed ^ case.wrapping_mul(0x9e37_79b9_7f4a_7c15));
        let input = target.input(&mut random);
        watched.begin(case, &input);
        let found = check(target, &input);
        watched.end();
        outcome.cases += 1;
        if let Err(what) = found {
            let kind = |text: &str| text.lines().next().unwrap_or_default().to_owned();
            if outcome.findings.iter().all(|known| kind(&known.what) != kind(&what)) {
                let finding = Finding { case, what, input };
                keep(target.name(), options, &finding);
                outcome.findings.push(finding);
            }
        }
    }
}

/// Checks one input; a panic becomes an error.
///
/// # Errors
/// What is wrong.
pub fn check(target: &mut dyn Target, input: &[u8]) -> Result<(), String> {
    catch_quietly();
    match panic::catch_unwind(AssertUnwindSafe(|| target.check(input))) {
        Ok(result) => result,
        Err(payload) => Err(PANIC.take().unwrap_or_else(|| text(&*payload))),
    }
}

thread_local! {
    /// What the last panic of this thread said, and where.
    static PANIC: RefCell<Option<String>> = const { RefCell::new(None) };
}

/// From now on a panic is remembered; those of other threads are told as ever.
fn catch_quietly() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let before = panic::take_hook();
        let own = thread::current().id();
        panic::set_hook(Box::new(move |info| {
            let place = info.location().map_or_else(String::new, ToString::to_string);
            PANIC.set(Some(format!("panic at {place}: {}", text(info.payload()))));
            if thread::current().id() != own {
                before(info);
            }
        }));
    });
}

fn text(payload: &dyn Any) -> String {
    let text = payload.downcast_ref::<&str>().copied();
    text.or_else(|| payload.downcast_ref::<String>().map(String::as_str)).unwrap_or("a panic without text").to_owned()
}

fn keep(target: &str, options: &Options, finding: &Finding) {
    eprintln!("{target}: case {} of seed {}: {}", finding.case, options.seed, finding.what);
    if let Some(folder) = &options.findings {
        write(folder.join(format!("{target}-{}-{}", options.seed, finding.case)), &finding.input);
    }
}

fn write(path: PathBuf, input: &[u8]) {
    let written = path.parent().map_or(Ok(()), fs::create_dir_all).and_then(|()| fs::write(&path, input));
    match written {
        Ok(()) => eprintln!("  its input is in {}", path.display()),
        Err(error) => eprintln!("  its input cannot be written to {}: {error}", path.display()),
    }
}

/// The case under way, for the thread that looks for one that gets stuck.
#[derive(Clone, Default)]
struct Watched(Arc<Mutex<Option<UnderWay>>>);

struct UnderWay {
    begin: Instant,
    case: u64,
    input: Vec<u8>,
}

impl Watched {
    fn begin(&self, case: u64, input: &[u8]) {
        let under_way = UnderWay { begin: Instant::now(), case, input: input.to_vec() };
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(under_way);
    }

    fn end(&self) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }

    /// Looks every second, until the last of the others is gone.
    fn watch(self, target: &'static str, findings: Option<PathBuf>) -> thread::JoinHandle<()> {
        thread::spawn(move || {
            while Arc::strong_count(&self.0) > 1 {
                thread::sleep(Duration::from_secs(1));
                if let Some(UnderWay { begin, case, input }) = &*self.0.lock().unwrap_or_else(PoisonError::into_inner)
                    && begin.elapsed() > STUCK
                {
                    eprintln!("{target}: case {case} has not ended after {STUCK:?}");
                    if let Some(folder) = &findings {
                        write(folder.join(format!("{target}-stuck-{case}")), input);
                    }
                    std::process::exit(3);
                }
            }
        })
    }
}
