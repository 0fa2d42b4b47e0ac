//! Reads what `kubectl get … -o json|yaml` prints, object by object, so that a large cluster never stands in memory
//! whole: for whoever says which objects count.

use std::{
    borrow::Cow,
    collections::{BTreeSet, HashMap},
    fmt,
    io::{self, BufRead, BufReader, Read},
    marker::PhantomData,
};

use jiff::Timestamp;
use serde::{
    Deserialize,
    de::{DeserializeOwned, DeserializeSeed, Deserializer, Error as _, IgnoredAny, MapAccess, SeqAccess, Visitor},
};
use serde_json::{Map, Value, value::RawValue};
use thiserror::Error;

use crate::{
    model::{ObjectName, WorkloadKind},
    snapshot::{Kind, Object},
};

/// Why a file cannot be used. The texts name the line or the object.
#[derive(Debug, Error)]
pub enum ReadError {
    /// Nothing but white space.
    #[error("it is empty")]
    Empty,
    /// Bytes that are no text.
    #[error("it is neither JSON nor YAML: {0}")]
    NotText(&'static str),
    /// Malformed JSON, or an object of a wrong shape.
    #[error("{0}")]
    Json(#[source] serde_json::Error),
    /// Malformed YAML, or an object of a wrong shape.
    #[error("{0}")]
    Yaml(String),
    /// A well-formed file without what it was read for.
    #[error("it holds {lacks}; give it what `kubectl get {kinds} -o yaml` prints")]
    Lacks {
        /// Such as `no node and no pod`.
        lacks: &'static str,
        /// The kinds that a complete file has, as kubectl takes them, with flags.
        kinds: &'static str,
    },
    /// Reading failed.
    #[error(transparent)]
    Io(#[from] io::Error),
}

/// Which objects of a file count.
pub(crate) trait Wanted {
    /// Their kinds.
    fn kinds() -> impl Iterator<Item = Kind>;

    /// Reads from the JSON of an object of such a kind what is needed; nothing of one that does not matter.
    fn read(kind: Kind, object: &str) -> Result<Option<Object>, serde_json::Error>;
}

/// What a file gave.
pub(crate) struct Gathered {
    /// Its objects in their order. One that is there twice counts once, as it was told last.
    pub(crate) objects: Vec<Object>,
    /// Wanted kinds of which it has no object.
    pub(crate) missing: BTreeSet<Kind>,
    /// Its `takenAt`, else the newest time that its objects tell.
    pub(crate) taken_at: Option<Timestamp>,
}

/// How much is looked at to tell JSON from YAML from binary, in bytes.
const PEEK: usize = 4096;

/// Reads a List, several documents, or single objects, in JSON or YAML. Other kinds than the wanted ones are ignored.
pub(crate) fn gather<W: Wanted>(input: &mut dyn Read) -> Result<Gathered, ReadError> {
    let mut input = BufReader::with_capacity(PEEK.max(1 << 16), input);
    let mut whole = Document::<W, Value>::default();
    match first_character(&mut input)? {
        b'{' => {
            for document in serde_json::Deserializer::from_reader(input).into_iter::<Document<W, Box<RawValue>>>() {
                whole.extend(document.map_err(ReadError::Json)?);
            }
        }
        b'[' => return Err(ReadError::NotText("it is a bare array, not a List")),
        _ => {
            for document in serde_saphyr::read_with_options::<_, Option<Document<W, Value>>>(&mut input, yaml_options())
            {
                if let Some(document) = document.map_err(|error| ReadError::Yaml(yaml_message(&error)))? {
                    whole.extend(document);
                }
            }
        }
    }
    Ok(whole.into())
}

fn first_character(input: &mut impl BufRead) -> Result<u8, ReadError> {
    loop {
        let seen = input.fill_buf()?;
        if seen.is_empty() {
            return Err(ReadError::Empty);
        }
        if seen.contains(&0) {
            return Err(ReadError::NotText("it has NUL bytes"));
        }
        let blank = seen.iter().take_while(|byte| byte.is_ascii_whitespace()).count();
        match seen.get(blank) {
            // JSON may follow a byte order mark; YAML readers skip one themselves.
            Some(0xEF) if seen[blank..].starts_with(b"\xEF\xBB\xBF{") => input.consume(blank + 3),
            Some(&first) => {
                if first == b'{' {
                    input.consume(blank);
                }
                return Ok(first);
            }
            None => {
                let all = seen.len();
                input.consume(all);
            }
        }
    }
}

/// How much aliases may add, in parser events: nothing that kubectl prints has any, and they could multiply the input.
const MAX_ALIASED: usize = 10_000;

/// The limits of the YAML reader guard configuration files; a cluster is larger.
fn yaml_options() -> serde_saphyr::Options {
    serde_saphyr::options! {
        budget: serde_saphyr::budget! {
            max_reader_input_bytes: None,
            max_events: usize::MAX,
            max_nodes: usize::MAX,
            max_documents: usize::MAX,
            max_total_scalar_bytes: usize::MAX,
            max_total_comment_bytes: usize::MAX,
            max_recorded_anchor_events: MAX_ALIASED,
        },
        alias_limits: serde_saphyr::alias_limits! { max_total_replayed_events: MAX_ALIASED },
        with_snippet: false,
    }
}

fn yaml_message(error: &serde_saphyr::Error) -> String {
    error.to_string().lines().next().unwrap_or_default().to_owned()
}

/// An item of a List, as a reader gives it.
trait Item: DeserializeOwned {
    /// Its JSON.
    fn text(&self) -> Cow<'_, str>;
}

/// JSON as it stands in the file.
impl Item for Box<RawValue> {
    fn text(&self) -> Cow<'_, str> {
        self.get().into()
    }
}

/// YAML, of which JSON is made.
impl Item for Value {
    fn text(&self) -> Cow<'_, str> {
        self.to_string().into()
    }
}

/// A document of a file: a List, read item by item, or a single object.
struct Document<W, I> {
    /// Items of the List, also of kinds that are ignored.
    items: usize,
    objects: Vec<Object>,
    kinds: BTreeSet<Kind>,
    taken_at: Option<Timestamp>,
    newest: Option<Timestamp>,
    wanted: PhantomData<(W, I)>,
}

impl<W, I> Default for Document<W, I> {
    fn default() -> Self {
        let (objects, kinds) = (Vec::new(), BTreeSet::new());
        Self { items: 0, objects, kinds, taken_at: None, newest: None, wanted: PhantomData }
    }
}

impl<W, I> Document<W, I> {
    fn extend<J>(&mut self, other: Document<W, J>) {
        let Document { items: _, objects, kinds, taken_at, newest, wanted: _ } = other;
        self.objects.extend(objects);
        self.kinds.extend(kinds);
        self.taken_at = self.taken_at.max(taken_at);
        self.newest = self.newest.max(newest);
    }
}

impl<W: Wanted, I> From<Document<W, I>> for Gathered {
    fn from(document: Document<W, I>) -> Self {
        let mut seen: HashMap<(Kind, ObjectName), usize> = HashMap::with_capacity(document.objects.len());
        let mut objects: Vec<Option<Object>> = Vec::with_capacity(document.objects.len());
        for object in document.objects {
            if let Some(earlier) = seen.insert((object.kind(), object.name()), objects.len()) {
                objects[earlier] = None;
            }
            objects.push(Some(object));
        }
        Self {
            objects: objects.into_iter().flatten().collect(),
            missing: W::kinds().filter(|kind| !document.kinds.contains(kind)).collect(),
            taken_at: document.taken_at.or(document.newest),
        }
    }
}

impl<'de, W: Wanted, I: Item> Deserialize<'de> for Document<W, I> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(DocumentVisitor(PhantomData))
    }
}

struct DocumentVisitor<W, I>(PhantomData<(W, I)>);

impl<'de, W: Wanted, I: Item> Visitor<'de> for DocumentVisitor<W, I> {
    type Value = Document<W, I>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a Kubernetes object or a List of them")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Document<W, I>, A::Error> {
        let mut document = Document::default();
        let mut fields = Map::new();
        let mut is_list = false;
        while let Some(key) = map.next_key::<String>()? {
            match key.as_str() {
                "items" => {
                    is_list = true;
                    // The server's own lists name the kind of their items only in the kind of the list.
                    let list_kind =
                        fields.get("kind").and_then(Value::as_str).and_then(|kind| kind.strip_suffix("List"));
                    let item_kind = list_kind.filter(|kind| !kind.is_empty()).map(str::to_owned);
                    map.next_value_seed(Items { document: &mut document, item_kind })?;
                }
                "takenAt" => {
                    let text: String = map.next_value()?;
                    let taken_at =
                        text.parse().map_err(|_| A::Error::custom(format!("takenAt is no time: {text:?}")))?;
                    document.taken_at = Some(taken_at);
                }
                _ => {
                    fields.insert(key, map.next_value()?);
                }
            }
        }
        if !is_list {
            if !fields.contains_key("kind") {
                return Err(A::Error::custom("an object without a kind: not a Kubernetes object"));
            }
            document.take_object(&Value::Object(fields).to_string(), None).map_err(A::Error::custom)?;
        } else if !fields.contains_key("kind") {
            // kubectl writes the kind of a List behind its items: without it the rest is missing.
            let items = document.items;
            return Err(A::Error::custom(format!("a List without its kind: the file is cut off after item {items}")));
        }
        Ok(document)
    }
}

struct Items<'a, W, I> {
    document: &'a mut Document<W, I>,
    item_kind: Option<String>,
}

impl<'de, W: Wanted, I: Item> DeserializeSeed<'de> for Items<'_, W, I> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de, W: Wanted, I: Item> Visitor<'de> for Items<'_, W, I> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the items of a List")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<(), A::Error> {
        while let Some(item) = items.next_element::<I>()? {
            self.document.items += 1;
            let number = self.document.items;
            self.document
                .take_object(&item.text(), self.item_kind.as_deref())
                .map_err(|error| A::Error::custom(format!("item {number}, {error}")))?;
        }
        Ok(())
    }

    // `items: null` is how Go prints a list that was never made.
    fn visit_unit<E>(self) -> Result<(), E> {
        Ok(())
    }

    fn visit_none<E>(self) -> Result<(), E> {
        Ok(())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        while map.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
        Err(A::Error::custom("the items of a List must be an array"))
    }
}

/// What tells which object it is.
#[derive(Default)]
struct Head {
    kind: Option<String>,
    api_version: Option<String>,
    metadata: Option<HeadMeta>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct HeadMeta {
    namespace: Option<String>,
    name: Option<String>,
}

impl Head {
    /// Reads an object as far as it must: what tells which it is stands first in what kubectl prints.
    fn read(object: &str) -> Result<Self, serde_json::Error> {
        let mut head = Self::default();
        let read = HeadReader(&mut head).deserialize(&mut serde_json::Deserializer::from_str(object));
        if head.is_whole() { Ok(head) } else { read.map(|()| head) }
    }

    fn is_whole(&self) -> bool {
        let Self { kind, api_version, metadata } = self;
        kind.is_some() && api_version.is_some() && metadata.is_some()
    }
}

struct HeadReader<'a>(&'a mut Head);

#[derive(Deserialize)]
#[serde(field_identifier, rename_all = "camelCase")]
enum HeadKey {
    Kind,
    ApiVersion,
    Metadata,
    #[serde(other)]
    Other,
}

impl<'de> DeserializeSeed<'de> for HeadReader<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for HeadReader<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a Kubernetes object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        while !self.0.is_whole() {
            match map.next_key()? {
                Some(HeadKey::Kind) => self.0.kind = map.next_value()?,
                Some(HeadKey::ApiVersion) => self.0.api_version = map.next_value()?,
                Some(HeadKey::Metadata) => self.0.metadata = map.next_value()?,
                Some(HeadKey::Other) => drop(map.next_value::<IgnoredAny>()?),
                None => break,
            }
        }
        Ok(())
    }
}

impl<W: Wanted, I> Document<W, I> {
    fn take_object(&mut self, object: &str, list_kind: Option<&str>) -> Result<(), String> {
        let Head { kind, api_version, metadata } = Head::read(object).map_err(|error| cause(&error))?;
        let Some(kind) = kind.or(list_kind.map(str::to_owned)) else {
            return Err("an object without a kind: not a Kubernetes object".to_owned());
        };
        if kind == "List" {
            return Err("a List: Lists inside of Lists are not read".to_owned());
        }
        let known = known_kind(&kind).filter(|known| W::kinds().any(|wanted| wanted == *known));
        let Some(known) = known else { return Ok(()) };
        let (_, group) = known.plural_and_group();
        if api_version.as_deref().and_then(|it| it.split_once('/')).is_some_and(|(other, _)| other != group) {
            return Ok(());
        }
        let HeadMeta { namespace, name } = metadata.unwrap_or_default();
        let shown = match (namespace, name.filter(|name| !name.is_empty())) {
            (Some(namespace), Some(name)) => format!("{kind} {namespace}/{name}"),
            (None, Some(name)) => format!("{kind} {name}"),
            (_, None) => return Err(format!("a {kind} without a name")),
        };
        // Another version may mean other things by the same words.
        let expected = if group.is_empty() { "v1".to_owned() } else { format!("{group}/v1") };
        if let Some(other) = api_version.filter(|other| *other != expected) {
            return Err(format!("{shown}: apiVersion {other}, expected {expected}"));
        }
        self.kinds.insert(known);
        if let Some(read) = W::read(known, object).map_err(|error| format!("{shown}: {}", cause(&error)))? {
            self.newest = self.newest.max(newest_time(object));
            self.objects.push(read);
        }
        Ok(())
    }
}

/// An error without its position, which would be one in the object and not in the file.
fn cause(error: &serde_json::Error) -> String {
    let text = error.to_string();
    let position = format!(" at line {} column {}", error.line(), error.column());
    text.strip_suffix(&position).map(str::to_owned).unwrap_or(text)
}

/// A kind that is read. Others of the same name live in other groups.
fn known_kind(kind: &str) -> Option<Kind> {
    Some(match kind {
        "Node" => Kind::Node,
        "Pod" => Kind::Pod,
        "Event" => Kind::Incident,
        "PodDisruptionBudget" => Kind::PodDisruptionBudget,
        "ControllerRevision" => Kind::ControllerRevision,
        _ => Kind::Workload(WorkloadKind::ALL.into_iter().find(|workload| workload.as_str() == kind)?),
    })
}

/// The newest time that an object tells. A deletion's time lies ahead, so it says nothing about when this was seen.
fn newest_time(object: &str) -> Option<Timestamp> {
    let mut newest = None;
    let mut reader = serde_json::Deserializer::from_str(object);
    // What is no object has told nothing.
    let _ = Times { newest: &mut newest, key: Key::Other }.deserialize(&mut reader);
    newest
}

/// What a key says of its value.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Key {
    /// It is a time.
    Time,
    /// Its keys are chosen by users.
    OfUsers,
    /// Nothing.
    Other,
}

/// Looks for times in a value.
struct Times<'a> {
    newest: &'a mut Option<Timestamp>,
    key: Key,
}

impl<'de> DeserializeSeed<'de> for Times<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        match self.key {
            Key::OfUsers => IgnoredAny::deserialize(deserializer).map(drop),
            Key::Time | Key::Other => deserializer.deserialize_any(self),
        }
    }
}

impl<'de> Visitor<'de> for Times<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("any value")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        while let Some(key) = map.next_key()? {
            map.next_value_seed(Times { newest: self.newest, key })?;
        }
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<(), A::Error> {
        while items.next_element_seed(Times { newest: self.newest, key: Key::Other })?.is_some() {}
        Ok(())
    }

    fn visit_str<E>(self, text: &str) -> Result<(), E> {
        if self.key == Key::Time {
            *self.newest = (*self.newest).max(text.parse().ok());
        }
        Ok(())
    }

    fn visit_bool<E>(self, _: bool) -> Result<(), E> {
        Ok(())
    }

    fn visit_i64<E>(self, _: i64) -> Result<(), E> {
        Ok(())
    }

    fn visit_u64<E>(self, _: u64) -> Result<(), E> {
        Ok(())
    }

    fn visit_f64<E>(self, _: f64) -> Result<(), E> {
        Ok(())
    }

    fn visit_unit<E>(self) -> Result<(), E> {
        Ok(())
    }
}

impl<'de> Deserialize<'de> for Key {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct KeyVisitor;

        impl Visitor<'_> for KeyVisitor {
            type Value = Key;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a key")
            }

            fn visit_str<E>(self, key: &str) -> Result<Key, E> {
                Ok(match key {
                    "annotations" | "labels" => Key::OfUsers,
                    "startedAt" | "finishedAt" | "time" => Key::Time,
                    "deletionTimestamp" => Key::Other,
                    _ if key.ends_with("Time") || key.ends_with("Timestamp") => Key::Time,
                    _ => Key::Other,
                })
            }
        }

        deserializer.deserialize_str(KeyVisitor)
    }
}
