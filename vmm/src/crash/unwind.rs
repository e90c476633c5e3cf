//! A backtrace of a dead program, from the stack it left: by unwinding information where there is some, else by frame
//! pointers, else by a search for return addresses, which are guesses and said to be.

use gimli::{
    CfaRule, EvaluationResult, FrameDescriptionEntry, Location, Register, RegisterRule, UnwindContext,
    UnwindExpression, UnwindOffset, UnwindSection, Value,
};

use super::{
    image::{ProgramImage, Slice},
    record::Remains,
};

/// Most frames of a backtrace.
pub(crate) const MAX_FRAMES: usize = 64;
/// Most return addresses that are guessed.
const MAX_GUESSES: usize = 12;
/// Most operations of an unwinding expression.
const MAX_OPERATIONS: u32 = 1000;

const RBP: usize = 6;
const RSP: usize = 7;
const RIP: usize = 16;
/// Registers that a function leaves as they were: RBX, RBP, R12 to R15.
const PRESERVED: [usize; 6] = [3, RBP, 12, 13, 14, 15];

/// The registers by DWARF number, as far as they are known.
type Registers = [Option<u64>; 17];

/// How a frame was found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Found {
    /// It is where the program was.
    Here,
    /// It made the call to an address where no code is.
    Caller,
    /// By unwinding information.
    Unwound,
    /// By the chain of frame pointers.
    FramePointer,
    /// A word of the stack that looks like a return address.
    Guess,
    /// Where a handler returns to: the next frame is what the signal interrupted.
    SignalReturn,
}

impl Found {
    /// Its name in the run file.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Found::Here => "here",
            Found::Caller => "caller",
            Found::Unwound => "unwound",
            Found::FramePointer => "frame_pointer",
            Found::Guess => "guess",
            Found::SignalReturn => "signal_return",
        }
    }
}

/// One frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Step {
    /// The instruction that it is at; of a return address, its own.
    pub(crate) address: u64,
    /// Whether `address` is behind the instruction that is meant.
    pub(crate) is_return: bool,
    /// How it was found.
    pub(crate) found: Found,
}

impl Step {
    /// An address inside the instruction that is meant.
    pub(crate) fn probe(&self) -> u64 {
        self.address.wrapping_sub(u64::from(self.is_return))
    }
}

/// The frame above another: its registers, without RIP if the program began below it; and whether it was interrupted
/// by a signal, so that RIP is no return address.
type Above = (Registers, bool);

/// The frames of a program, the innermost first.
pub(crate) fn backtrace(remains: &Remains, image: &ProgramImage<'_>) -> Vec<Step> {
    let mut registers = remains.registers().map(Some);
    let here = remains.crash.instruction;
    let mut steps = vec![Step { address: here, is_return: false, found: Found::Here }];
    if !image.is_text(here) {
        let called = registers[RSP].and_then(|rsp| Some((rsp, remains.word(rsp)?)));
        if let Some((rsp, address)) =
            called.filter(|(_, address)| image.is_text(*address) && image.follows_call(*address))
        {
            steps.push(Step { address, is_return: true, found: Found::Caller });
            registers[RSP] = rsp.checked_add(8);
            registers[RIP] = Some(address);
        }
    }
    while steps.len() < MAX_FRAMES {
        let Some(last) = steps.last().copied() else { break };
        let unwound = unwind(remains, image, last.probe(), &registers).map(|above| (above, Found::Unwound));
        let found =
            unwound.or_else(|| Some(((frame_pointer(remains, image, &registers)?, false), Found::FramePointer)));
        let Some(((above, interrupted), found)) = found else {
            guess(remains, image, &registers, &mut steps);
            break;
        };
        let Some(address) = above[RIP].filter(|&address| address != 0) else { break };
        if let Some(trampoline) = steps.last_mut().filter(|_| interrupted) {
            trampoline.found = Found::SignalReturn;
        }
        steps.push(Step { address, is_return: !interrupted, found });
        registers = above;
    }
    steps
}

/// One frame up by the chain of frame pointers, if it leads up the stack and into code.
fn frame_pointer(remains: &Remains, image: &ProgramImage<'_>, registers: &Registers) -> Option<Registers> {
    let (rbp, rsp) = (registers[RBP]?, registers[RSP]?);
    if !rbp.is_multiple_of(8) || rbp < rsp {
        return None;
    }
    let address = remains.word(rbp.checked_add(8)?)?;
    if !image.is_text(address) || !image.follows_call(address) {
        return None;
    }
    let mut above = [None; 17];
    above[RBP] = remains.word(rbp);
    above[RSP] = rbp.checked_add(16);
    above[RIP] = Some(address);
    Some(above)
}

/// Adds every word of the stack that is a return address by its looks.
fn guess(remains: &Remains, image: &ProgramImage<'_>, registers: &Registers, steps: &mut Vec<Step>) {
    let from = registers[RSP].unwrap_or(0).max(remains.crash.stack_start).checked_next_multiple_of(8);
    let Some(from) = from else { return };
    let words = (from..remains.stack_end()).step_by(8).filter_map(|at| remains.word(at));
    let addresses = words.filter(|&word| image.is_text(word) && image.follows_call(word));
    steps.extend(addresses.take(MAX_GUESSES).map(|address| Step { address, is_return: true, found: Found::Guess }));
}

/// One frame up by unwinding information; `None` where it says nothing, or what it says makes no sense.
fn unwind(remains: &Remains, image: &ProgramImage<'_>, probe: u64, registers: &Registers) -> Option<Above> {
    if !image.is_text(probe) {
        return None;
    }
    let by_eh_frame = unwind_in(&image.eh_frame, remains, image, probe, registers);
    by_eh_frame.or_else(|| unwind_in(&image.debug_frame, remains, image, probe, registers))
}

fn unwind_in<'a, S: UnwindSection<Slice<'a>>>(
    section: &S,
    remains: &Remains,
    image: &ProgramImage<'a>,
    probe: u64,
    registers: &Registers,
) -> Option<Above>
where
    S::Offset: UnwindOffset<usize>,
{
    let in_file = image.in_file(probe);
    let entry = section.fde_for_address(&image.bases, in_file, S::cie_from_offset).ok()?;
    let mut context = UnwindContext::new();
    let row = entry.unwind_info_for_address(section, &image.bases, &mut context, in_file).ok()?;
    let machine = Machine { section, entry: &entry, remains, registers };
    let cfa = match row.cfa() {
        CfaRule::RegisterAndOffset { register, offset } => {
            machine.register(*register).and_then(|value| value.checked_add_signed(*offset))
        }
        CfaRule::Expression(expression) => machine.evaluate(expression, None),
    };
    // Towards the caller the stack goes up, so that a chain ends.
    let cfa = cfa.filter(|&cfa| registers[RSP].is_none_or(|rsp| cfa > rsp))?;
    let mut above: Registers = [None; 17];
    for (number, value) in above.iter_mut().enumerate() {
        let register = Register(number as u16);
        let Some(rule) = row.register(register) else {
            *value = match number {
                RSP => Some(cfa),
                number if PRESERVED.contains(&number) => registers[number],
                _ => None,
            };
            continue;
        };
        *value = match rule {
            RegisterRule::Undefined if number == RIP => return Some(([None; 17], false)),
            RegisterRule::SameValue => registers[number],
            RegisterRule::Offset(offset) => cfa.checked_add_signed(offset).and_then(|at| remains.word(at)),
            RegisterRule::ValOffset(offset) => cfa.checked_add_signed(offset),
            RegisterRule::Register(other) => machine.register(other),
            RegisterRule::Expression(expression) => {
                machine.evaluate(&expression, Some(cfa)).and_then(|at| remains.word(at))
            }
            RegisterRule::ValExpression(expression) => machine.evaluate(&expression, Some(cfa)),
            RegisterRule::Constant(value) => Some(value),
            _ => None,
        };
    }
    above[RIP]?;
    Some((above, entry.is_signal_trampoline()))
}

/// What an unwinding expression can ask for.
struct Machine<'m, 'a, S> {
    section: &'m S,
    entry: &'m FrameDescriptionEntry<Slice<'a>>,
    remains: &'m Remains,
    registers: &'m Registers,
}

impl<'a, S: UnwindSection<Slice<'a>>> Machine<'_, 'a, S> {
    fn register(&self, register: Register) -> Option<u64> {
        *self.registers.get(usize::from(register.0))?
    }

    /// The value of an expression; `None` where it needs what is not known.
    fn evaluate(&self, expression: &UnwindExpression<usize>, initial: Option<u64>) -> Option<u64> {
        let expression = expression.get(self.section).ok()?;
        let mut evaluation = expression.evaluation(self.entry.cie().encoding());
        evaluation.set_max_iterations(MAX_OPERATIONS);
        if let Some(initial) = initial {
            evaluation.set_initial_value(initial);
        }
        let mut state = evaluation.evaluate().ok()?;
        loop {
            state = match state {
                EvaluationResult::Complete => break,
                EvaluationResult::RequiresMemory { address, size: 8, .. } => {
                    let word = self.remains.word(address)?;
                    evaluation.resume_with_memory(Value::Generic(word)).ok()?
                }
                EvaluationResult::RequiresRegister { register, .. } => {
                    let value = self.register(register)?;
                    evaluation.resume_with_register(Value::Generic(value)).ok()?
                }
                _ => return None,
            };
        }
        match evaluation.result().first()?.location {
            Location::Address { address } => Some(address),
            _ => None,
        }
    }
}
