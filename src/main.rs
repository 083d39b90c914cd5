//! The `zrecipe` program: see [`zrecipe::cli`].

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> std::process::ExitCode {
    zrecipe::cli::main(std::env::args_os())
}
