//! Format files for tests, as kernels print them: of KVM over PVM, and of both rigs of `scripts/nested-vm.sh`.

use super::Format;

pub(crate) const LINUX_6_1_SVM: &str = include_str!("testdata/linux-6.1-svm.txt");
pub(crate) const LINUX_6_12_SVM: &str = include_str!("testdata/linux-6.12-svm.txt");
pub(crate) const LINUX_6_12_VMX: &str = include_str!("testdata/linux-6.12-vmx.txt");
pub(crate) const LINUX_6_18_PVM: &str = include_str!("testdata/linux-6.18-pvm.txt");
pub(crate) const ALL: [&str; 4] = [LINUX_6_1_SVM, LINUX_6_12_SVM, LINUX_6_12_VMX, LINUX_6_18_PVM];

/// The formats of a set. Each begins with a line of `===` and its name.
pub(crate) fn formats(set: &str) -> Vec<Format> {
    let texts = set.split("=== ").filter(|text| !text.is_empty());
    texts.map(|text| Format::parse(text).expect("kernels print valid formats")).collect()
}
