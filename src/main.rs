//! The `zrecipe` program: see [`zrecipe::cli`].

fn main() -> std::process::ExitCode {
    zrecipe::cli::main(std::env::args_os())
}
