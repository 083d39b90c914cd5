//! What differs between operating systems: identities of files, permissions, and processes.

#[cfg(not(unix))]
mod other;
#[cfg(unix)]
mod unix;

#[cfg(not(unix))]
use other as system;
#[cfg(unix)]
use unix as system;

pub use system::{
    Identity, copy_owner, file_mode, identity, is_exhausted, is_public, is_running, nonblocking, path_bytes,
    path_from_bytes, private_directory, private_file, program_mode, special,
};
