//! Gathers what the binary serves beside its interface: the page, and the official Socket.IO client's files. Both are in the
//! repository, so a build needs neither npm nor a network. The client's files must match their checksums, or the build fails.

use sha2::{Digest, Sha256};
use std::fs;
use std::path::{Path, PathBuf};

/// The names and digests of the client's files, as `sha256sum` writes them.
const SUMS: &str = "SHA256SUMS";

fn main() {
    let out = PathBuf::from(std::env::var_os("OUT_DIR").expect("cargo sets OUT_DIR"));
    let here = PathBuf::from(std::env::var_os("CARGO_MANIFEST_DIR").expect("cargo sets CARGO_MANIFEST_DIR"));
    let (console, client) = (here.join("../../console"), here.join("../../third_party/socket.io-client"));
    println!("cargo::rerun-if-changed=build.rs");
    for folder in [&console, &client] {
        println!("cargo::rerun-if-changed={}", folder.display());
    }
    let text = match checked_files(&client) {
        Ok(files) => format!("{}{}", table("CONSOLE", &page_files(&console)), table("CLIENT", &files)),
        Err(why) => {
            println!("cargo::error=the official Socket.IO client cannot be packed: {why}");
            return;
        }
    };
    fs::write(out.join("assets.rs"), text).expect("OUT_DIR can be written");
}

fn page_files(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.path());
    let is_served = |path: &PathBuf| {
        path.extension().is_some_and(|kind| ["html", "css", "js", "svg"].iter().any(|served| kind == *served))
    };
    let mut files: Vec<PathBuf> = entries.filter(is_served).collect();
    files.sort();
    files
}

/// The files that the list of checksums names, each as the list says.
fn checked_files(folder: &Path) -> Result<Vec<PathBuf>, String> {
    let list = folder.join(SUMS);
    let list = fs::read_to_string(&list).map_err(|error| format!("{}: {error}", list.display()))?;
    let mut files = Vec::new();
    for line in list.lines() {
        let (digest, name) =
            line.split_once("  ").ok_or_else(|| format!("{SUMS}: {line:?} is no checksum"))?;
        let path = folder.join(name);
        let bytes = fs::read(&path).map_err(|error| format!("{}: {error}", path.display()))?;
        let found: String = Sha256::digest(&bytes).iter().map(|byte| format!("{byte:02x}")).collect();
        if found != digest {
            return Err(format!("{} does not match {SUMS}: its SHA-256 is {found}", path.display()));
        }
        files.push(path);
    }
    files.sort();
    Ok(files)
}

fn table(name: &str, files: &[PathBuf]) -> String {
    let mut text = format!("static {name}: &[(&str, &[u8])] = &[\n");
    for file in files {
        let base = file.file_name().and_then(|base| base.to_str()).unwrap_or_default();
        let path = file.canonicalize().unwrap_or_else(|_| file.clone());
        text.push_str(&format!("    ({base:?}, include_bytes!({:?})),\n", path.display().to_string()));
    }
    text.push_str("];\n");
    text
}
