//! Rust's standard library without threads: collections, text, files, a panic that is caught, and an exit status.

use std::{
    collections::{BTreeMap, HashMap, HashSet, VecDeque},
    env, fs,
    io::{self, BufRead, Read, Seek, SeekFrom, Write},
    panic,
    process::ExitCode,
    time::Instant,
};

fn collections() {
    let mut state = 1u64;
    let mut next = || {
        state = state.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
        state >> 33
    };
    let mut counts: HashMap<String, u64> = HashMap::new();
    let mut seen = HashSet::new();
    let mut tree = BTreeMap::new();
    let mut queue = VecDeque::new();
    for index in 0..20_000u64 {
        let value = next() % 997;
        *counts.entry(format!("key {value}")).or_default() += index;
        seen.insert(value);
        tree.insert(value, index);
        queue.push_back(value);
        if index % 3 == 0 {
            queue.pop_front();
        }
    }
    let sum: u64 = counts.values().sum();
    let first: Vec<_> = tree.iter().take(3).collect();
    println!("{} {} {} {sum} {first:?} {}", counts.len(), seen.len(), tree.len(), queue.iter().sum::<u64>());
    let mut floats: Vec<f64> = queue.iter().map(|&value| (value as f64).sqrt().sin()).collect();
    floats.sort_by(f64::total_cmp);
    println!("{:.12} {:e} {:?}", floats[0], floats[floats.len() / 2], floats.last());
    let text: String = ["Zeile", "żółw", "日本"].iter().flat_map(|word| word.chars().rev()).collect();
    println!("{text} {} {}", text.len(), text.to_uppercase());
}

fn files(folder: &str) -> io::Result<()> {
    let folder = format!("{folder}/pagelab-standard");
    fs::create_dir(&folder)?;
    let path = format!("{folder}/numbers");
    let lines: String = (0..5000).map(|number| format!("{number}\n")).collect();
    fs::write(&path, &lines)?;
    println!("{} bytes, same: {}", fs::metadata(&path)?.len(), fs::read_to_string(&path)? == lines);
    let mut file = fs::OpenOptions::new().read(true).append(true).open(&path)?;
    file.write_all(b"the end\n")?;
    file.seek(SeekFrom::End(-8))?;
    let mut tail = String::new();
    file.read_to_string(&mut tail)?;
    println!("tail {tail:?}");
    file.set_len(10)?;
    println!("cut to {:?}", fs::read_to_string(&path)?);
    fs::rename(&path, format!("{folder}/renamed"))?;
    let names: Vec<_> = fs::read_dir(&folder)?.map(|entry| entry.unwrap().file_name()).collect();
    println!("in it {names:?}");
    println!("old name: {:?}", fs::read(&path).map_err(|error| error.kind()));
    fs::remove_dir_all(&folder)?;
    println!("there: {}", fs::exists(&folder)?);
    Ok(())
}

fn main() -> ExitCode {
    collections();
    let folder = env::args().nth(1).unwrap_or_else(|| "/tmp".to_owned());
    if let Err(error) = files(&folder) {
        println!("files: {error}");
    }
    panic::set_hook(Box::new(|info| eprintln!("hook: {}", info.payload_as_str().unwrap_or("?"))));
    let caught = panic::catch_unwind(|| {
        let values = [1, 2, 3];
        values[env::args().count() + 10]
    });
    println!("caught: {}", caught.is_err());
    for (number, line) in io::stdin().lock().lines().enumerate() {
        println!("{number}: {}", line.expect("text"));
    }
    let since = Instant::now();
    println!("later: {}", Instant::now() >= since);
    eprintln!("leaving");
    ExitCode::from(42)
}
