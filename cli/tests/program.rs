//! The program as it is installed. That this test is in the package of the program makes `cargo test --workspace` build it
//! beside the tests of whole processes, which would else build it, and all that it depends on, once more.

use std::process::Command;

#[test]
fn it_tells_its_version() {
    let told = Command::new(env!("CARGO_BIN_EXE_p2pnode")).arg("--version").output().expect("it runs");
    let text = String::from_utf8_lossy(&told.stdout);
    assert!(told.status.success(), "{told:?}");
    assert!(text.contains(env!("CARGO_PKG_VERSION")), "{text}");
}
