//! The engine's own program, so that the tests of this one can hold their figures against what it prints.

fn main() -> std::process::ExitCode {
    tercel::cli::main()
}
