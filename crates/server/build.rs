//! Gathers what the binary serves beside its interface: the page, and the official Socket.IO client's files, which come
//! from its npm package and are not committed. Without npm the build succeeds, and the route says what is missing.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// The official client that is served. Pinned, so that the same source builds the same binary.
const CLIENT: &str = "socket.io-client@4.8.4";

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rerun-if-changed=../../console");
    let out = PathBuf::from(std::env::var_os("OUT_DIR").expect("cargo sets OUT_DIR"));
    let here = PathBuf::from(std::env::var_os("CARGO_MANIFEST_DIR").expect("cargo sets CARGO_MANIFEST_DIR"));

    let console = files(&here.join("../../console"), &["html", "css", "js", "svg"]);
    let client = match fetch_client(&out) {
        Ok(folder) => files(&folder, &["js", "map"]),
        Err(why) => {
            println!("cargo::warning=the official Socket.IO client is left out of this build: {why}");
            Vec::new()
        }
    };
    let text = format!("{}{}", table("CONSOLE", &console), table("CLIENT", &client));
    fs::write(out.join("assets.rs"), text).expect("OUT_DIR can be written");
}

fn fetch_client(out: &Path) -> Result<PathBuf, String> {
    let prefix = out.join("npm");
    let dist = prefix.join("node_modules/socket.io-client/dist");
    // The folder is named by nothing but this build, so what is there is what was pinned.
    let stamp = prefix.join("stamp");
    if fs::read_to_string(&stamp).is_ok_and(|version| version == CLIENT) && dist.is_dir() {
        return Ok(dist);
    }
    fs::create_dir_all(&prefix).map_err(|error| error.to_string())?;
    let done = Command::new("npm")
        .args([
            "install",
            "--ignore-scripts",
            "--no-audit",
            "--no-fund",
            "--no-save",
            "--loglevel=error",
            "--prefix",
        ])
        .arg(&prefix)
        .arg(CLIENT)
        .output()
        .map_err(|error| format!("npm cannot be run ({error})"))?;
    if !done.status.success() {
        return Err(format!(
            "npm failed: {}",
            String::from_utf8_lossy(&done.stderr).lines().next().unwrap_or_default()
        ));
    }
    fs::write(&stamp, CLIENT).map_err(|error| error.to_string())?;
    Ok(dist)
}

fn files(folder: &Path, kinds: &[&str]) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.path());
    let mut files: Vec<PathBuf> = entries
        .filter(|path| path.extension().is_some_and(|kind| kinds.iter().any(|k| kind == *k)))
        .collect();
    files.sort();
    files
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
