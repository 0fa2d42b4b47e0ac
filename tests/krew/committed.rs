//! The manifests in this repository agree with each other, with the version and with what they are rendered from.

use std::fs;

use anyhow::{Context, Result};
use serde_json::Value;
use xtask::{
    PLATFORMS, PLUGINS, Platform, Plugin, Release,
    manifest::{self, Packed},
};

use crate::{krew, packed, rules};

fn read(path: &str) -> Result<String> {
    fs::read_to_string(xtask::workspace().join(path)).with_context(|| format!("{path}: run `cargo xtask dist`"))
}

fn committed(plugin: &Plugin) -> Result<String> {
    read(&format!("plugins/{}.yaml", plugin.name))
}

/// The platforms and sums in a manifest.
fn listed(text: &str) -> Result<Vec<Packed>> {
    let manifest: Value = serde_saphyr::from_str(text)?;
    let platforms = manifest["spec"]["platforms"].as_array().context("no platforms")?;
    platforms
        .iter()
        .map(|entry| {
            let labels = &entry["selector"]["matchLabels"];
            let of = |platform: &&Platform| labels["os"] == platform.os && labels["arch"] == platform.arch;
            let platform = *PLATFORMS.iter().find(of).context("a platform that is not released")?;
            Ok(Packed { platform, sha256: entry["sha256"].as_str().context("no sum")?.to_owned() })
        })
        .collect()
}

#[test]
fn the_manifests_are_rendered_from_the_plugins_texts_and_the_workspaces_version() -> Result<()> {
    for plugin in &PLUGINS {
        let text = committed(plugin)?;
        let rendered = Release::current().manifest(plugin, &listed(&text)?);
        assert_eq!(text, rendered, "run `cargo xtask dist` and commit what it writes");
    }
    Ok(())
}

#[test]
fn both_manifests_stand_in_one_file_that_says_how_krew_reads_it() -> Result<()> {
    let text = read("krew-manifest.yaml")?;
    let manifests = [committed(&PLUGINS[0])?, committed(&PLUGINS[1])?];
    let release = Release::current();
    let example = listed(&manifests[0])?.first().context("no platform")?.platform;
    assert_eq!(text, release.both(&manifests, &example), "run `cargo xtask dist` and commit what it writes");
    let (header, documents) = text.split_once("---\n").context("no document")?;
    assert!(header.lines().all(|line| line.starts_with('#')), "{header}");
    assert!(header.contains("krew itself reads only the\n# first document of a file, safe-drain's"), "{header}");
    for plugin in &PLUGINS {
        let archive = plugin.archive(&release.version, &example);
        let command =
            format!("kubectl krew install --manifest=plugins/{}.yaml --archive=dist/{archive}\n", plugin.name);
        assert!(header.contains(&command), "{command}: {header}");
    }
    let documents: Vec<&str> = documents.split("---\n").collect();
    assert_eq!(documents, manifests);
    assert!(documents[0].contains("\n  name: safe-drain\n"), "{}", documents[0]);
    Ok(())
}

#[test]
fn the_manifests_keep_every_rule() -> Result<()> {
    for plugin in &PLUGINS {
        let text = committed(plugin)?;
        assert_eq!(rules::broken(&format!("{}.yaml", plugin.name), &text), Vec::<String>::new(), "{text}");
    }
    Ok(())
}

#[tokio::test]
async fn krews_own_validator_accepts_the_manifests() -> Result<()> {
    for plugin in &PLUGINS {
        let path = xtask::workspace().join(format!("plugins/{}.yaml", plugin.name));
        let output = krew::Krew::new()?.validate(&path, &["-skip-install"]).await?;
        assert_eq!(output.code, Some(0), "{output}");
    }
    Ok(())
}

#[test]
fn the_readme_installs_the_archives_of_this_version() -> Result<()> {
    let readme = read("README.md")?;
    for plugin in &PLUGINS {
        let archive = plugin.archive(&Release::current().version, &PLATFORMS[0]);
        let command =
            format!("kubectl krew install --manifest=plugins/{}.yaml --archive=dist/{archive}\n", plugin.name);
        assert!(readme.contains(&command), "{command}");
    }
    Ok(())
}

/// What the bot does with a template: it puts the tag in, then URL and sum of each archive, in two lines.
fn as_the_bot_renders(template: &str, release: &packed::Packed) -> String {
    let version = &release.release.version;
    let lines = template.lines().map(|line| {
        let line = line.replace("{{ .TagName }}", version);
        let Some((indent, call)) = line.split_once("{{addURIAndSha \"") else { return format!("{line}\n") };
        let uri = call.strip_suffix("\" .TagName }}").expect("a call with the tag");
        let (_, name) = uri.rsplit_once('/').expect("a URL");
        let archive = fs::read(release.dir.path().join(name)).expect("an archive of that name");
        format!("{indent}uri: {uri}\n    sha256: {}\n", xtask::archive::sha256(&archive))
    });
    lines.collect::<Vec<_>>().concat()
}

#[test]
fn the_bots_templates_give_the_manifest_of_all_platforms() -> Result<()> {
    let Release { repository, .. } = Release::current();
    let release = packed::stand_in("v7.8.9", &repository)?;
    for (plugin, manifest) in PLUGINS.iter().zip(&release.manifests) {
        let template = read(&format!(".krew/{}.yaml", plugin.name))?;
        assert_eq!(
            template,
            manifest::template(plugin, &repository),
            "run `cargo xtask dist` and commit what it writes"
        );
        assert_eq!(as_the_bot_renders(&template, &release), *manifest);
        assert_eq!(rules::broken(&format!("{}.yaml", plugin.name), manifest), Vec::<String>::new());
        assert_eq!(listed(manifest)?.len(), PLATFORMS.len());
    }
    Ok(())
}

#[test]
fn the_sums_are_those_of_the_archives() -> Result<()> {
    let release = packed::stand_in("v7.8.9", "https://example.com/kubectl-x")?;
    let sums = fs::read_to_string(release.dir.path().join("SHA256SUMS"))?;
    assert_eq!(sums.lines().count(), PLUGINS.len() * PLATFORMS.len());
    for (plugin, manifest) in PLUGINS.iter().zip(&release.manifests) {
        let manifest: Value = serde_saphyr::from_str(manifest)?;
        for (platform, entry) in PLATFORMS.iter().zip(manifest["spec"]["platforms"].as_array().unwrap()) {
            let path = release.archive(plugin, platform);
            let bytes = fs::read(&path)?;
            assert_eq!(rules::broken_archive(entry, &bytes), Vec::<String>::new());
            let name = path.file_name().unwrap().to_string_lossy();
            assert!(entry["uri"].as_str().unwrap().ends_with(&format!("/download/v7.8.9/{name}")));
            assert!(sums.contains(&format!("{}  {name}\n", xtask::archive::sha256(&bytes))), "{sums}");
        }
    }
    Ok(())
}

#[test]
fn the_packed_readme_leads_to_files_of_the_repository() -> Result<()> {
    let Release { repository, .. } = Release::current();
    let release = packed::stand_in("v7.8.9", &repository)?;
    let packed = xtask::archive::unpack(&fs::read(release.archive(&PLUGINS[0], &PLATFORMS[0]))?)?;
    let readme = packed.into_iter().find(|file| file.name == "README.md").context("no README.md")?;
    let readme = String::from_utf8(readme.bytes)?;
    let files = format!("{repository}/blob/v7.8.9/");
    let mut found = 0;
    for target in readme.split("](").skip(1).filter_map(|rest| rest.split([')', '#']).next()) {
        match target.strip_prefix(&files) {
            Some(file) => {
                assert!(xtask::workspace().join(file).is_file(), "{target}");
                found += 1;
            }
            None => assert!(target.is_empty() || target.starts_with("https://"), "{target}"),
        }
    }
    assert!(found > 10, "{found} links");
    Ok(())
}
