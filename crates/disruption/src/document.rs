//! What all documents share: the version of the contract, how times and durations are written, what probes tell.

use jiff::{SignedDuration, Timestamp};
use serde::{Serialize, Serializer};

/// `apiVersion` of every document.
pub const API_VERSION: &str = "disruption/v1alpha1";

/// What came of the requests to one URL.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct ProbeResult {
    /// The URL.
    pub url: String,
    /// How many were sent.
    pub requests: u64,
    /// How many failed.
    pub failures: u64,
    /// The longest time without an answer that was good.
    pub longest_gap_seconds: f64,
}

/// Seconds to the millisecond: more digits would pretend to know more.
pub fn in_seconds(duration: SignedDuration) -> f64 {
    (duration.as_secs_f64() * 1000.0).round() / 1000.0
}

/// RFC 3339 in UTC with milliseconds.
pub(crate) fn with_milliseconds<S: Serializer>(time: &Timestamp, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(&format!("{time:.3}"))
}

/// [`with_milliseconds`], or null.
#[expect(clippy::ref_option, reason = "serde asks for a reference to the field")]
pub(crate) fn maybe_with_milliseconds<S: Serializer>(
    time: &Option<Timestamp>,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    match time {
        Some(time) => with_milliseconds(time, serializer),
        None => serializer.serialize_none(),
    }
}

/// The schemas of documents, as tests check them.
#[cfg(test)]
pub(crate) mod schema {
    use std::{env, fs, path::Path};

    use schemars::generate::SchemaSettings;
    use serde_json::Value;

    /// A document's schema.
    pub(crate) struct Schema(schemars::Schema);

    /// The schema of what is written: what may be absent is not required.
    pub(crate) fn of<D: schemars::JsonSchema>() -> Schema {
        let settings = SchemaSettings::draft2020_12().for_serialize();
        Schema(settings.into_generator().into_root_schema_for::<D>())
    }

    /// The schema in the repository is that of this code. `UPDATE_SCHEMAS=1` writes it.
    #[track_caller]
    pub(crate) fn check_written<D: schemars::JsonSchema>(name: &str) {
        let Schema(mut schema) = of::<D>();
        schema.insert("title".to_owned(), format!("{name} disruption/v1alpha1").into());
        schema.insert("$id".to_owned(), format!("urn:disruption:v1alpha1:{name}").into());
        let expected = serde_json::to_string_pretty(&schema).unwrap() + "\n";
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("../../docs/schemas/{name}.json"));
        if env::var_os("UPDATE_SCHEMAS").is_some() {
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(&path, &expected).unwrap();
        }
        let written = fs::read_to_string(&path).unwrap_or_default();
        assert!(written == expected, "docs/schemas/{name}.json is out of date: run with UPDATE_SCHEMAS=1");
    }

    impl Schema {
        /// The keys of a type, sorted; of the document itself for an empty name.
        pub(crate) fn keys(&self, of: &str) -> String {
            sorted(self.part(of, "properties").as_object().unwrap().keys().map(String::as_str))
        }

        /// The words of an enum, sorted.
        pub(crate) fn values(&self, of: &str) -> String {
            sorted(self.part(of, "oneOf").as_array().unwrap().iter().filter_map(|word| word["const"].as_str()))
        }

        /// Whether a key of the document is never absent.
        pub(crate) fn requires(&self, key: &str) -> bool {
            self.part("", "required").as_array().unwrap().contains(&key.into())
        }

        fn part(&self, of: &str, part: &str) -> &Value {
            let pointer = if of.is_empty() { format!("/{part}") } else { format!("/$defs/{of}/{part}") };
            self.0.pointer(&pointer).unwrap()
        }
    }

    fn sorted<'w>(words: impl Iterator<Item = &'w str>) -> String {
        let mut words: Vec<&str> = words.collect();
        words.sort_unstable();
        words.join(" ")
    }
}
