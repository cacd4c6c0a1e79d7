//! What a measurement ran on.

/// Processor, its clock now, cores, and those of its instructions that seals may use.
pub(crate) fn machine() -> String {
    let cpuinfo = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let field = |name: &str| {
        let line = cpuinfo.lines().find(|line| line.starts_with(name));
        line.and_then(|line| line.split(": ").nth(1))
            .unwrap_or("unknown")
            .to_owned()
    };
    let flags = field("flags");
    let has: Vec<&str> = ["aes", "avx2", "vaes", "vpclmulqdq", "avx512f"]
        .into_iter()
        .filter(|flag| flags.split(' ').any(|f| f == *flag))
        .collect();
    let cores = std::thread::available_parallelism().map_or(0, usize::from);
    let (name, mhz) = (field("model name"), field("cpu MHz"));
    format!("{name}, {mhz} MHz, {cores} cores, {}", has.join(" "))
}
