//! Traces by OpenTelemetry, joined across services by the headers of messages (W3C Trace Context), with the names that
//! `workflows.transport.middleware.otel_tracing` uses.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use hyper_rustls::HttpsConnectorBuilder;
use opentelemetry::propagation::TextMapPropagator as _;
use opentelemetry::trace::{SpanKind, Status, TraceContextExt as _, Tracer as _, TracerProvider as _};
use opentelemetry::{Context, KeyValue};
use opentelemetry_http::hyper::HyperClient;
use opentelemetry_otlp::{Protocol, SpanExporter, WithExportConfig as _, WithHttpConfig as _};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::error::{OTelSdkError, OTelSdkResult};
use opentelemetry_sdk::propagation::TraceContextPropagator;
use opentelemetry_sdk::trace::{SdkTracer, SdkTracerProvider, SpanData};
use tokio::runtime::Handle;

use zrecipe_broker::message::Outgoing;
use zrecipe_language::diagnostic::counted;
use zrecipe_language::report::printable;
use zrecipe_language::secret;
use zrecipe_language::site::Plugins;
use zrecipe_language::value::{Object, Value};

/// How long an export may take when the site does not say.
const TIMEOUT: Duration = Duration::from_secs(10);

/// The headers that join traces.
const CONTEXT: [&str; 2] = ["traceparent", "tracestate"];

/// How much of a collector's answer is told, in characters.
const MOST_TOLD: usize = 300;

/// Where a collector takes spans.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Collector {
    /// Its URL, path included.
    pub endpoint: String,
    /// How long an export may take.
    pub timeout: Duration,
}

impl Collector {
    /// What the plugin `opentelemetry` of a site says: `host` and `port`, which stand for a path by HTTPS as in
    /// `workflows.util.zocalo.configuration`, or the whole URL as `endpoint`, which only we read.
    pub fn of_site(plugins: &Plugins<'_>) -> Option<Self> {
        let (_, settings) = plugins.iter().find(|(plugin, _)| plugin == "opentelemetry")?;
        let find = |name: &str| settings.iter().find(|setting| setting.name == name).map(|setting| setting.node);
        let named = || {
            let (host, port) = (find("host")?.text().into_owned(), find("port")?.text().into_owned());
            Some(format!("https://{host}:{port}/v1/traces"))
        };
        let endpoint = find("endpoint").map(|endpoint| endpoint.text().into_owned()).or_else(named)?;
        let timeout = find("timeout").and_then(|timeout| Duration::try_from_secs_f64(timeout.as_f64()?).ok());
        Some(Self { endpoint, timeout: timeout.unwrap_or(TIMEOUT) })
    }
}

/// How the export to a collector goes. That it fails is told once, and once that it works again; spans are lost meanwhile,
/// because nobody waits for a collector.
pub struct Exports {
    collector: Collector,
    /// The collector, for people.
    place: String,
    /// How many spans were lost since it began to fail, if it fails.
    failing: Mutex<Option<usize>>,
    lost: Box<dyn Fn(usize) + Send + Sync>,
}

impl std::fmt::Debug for Exports {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Exports").field("place", &self.place).field("failing", &self.failing).finish_non_exhaustive()
    }
}

impl Exports {
    /// Those of all services of a process; `lost` hears how many spans are, each time.
    pub fn new(collector: Collector, lost: impl Fn(usize) + Send + Sync + 'static) -> Arc<Self> {
        let place = shown(&collector.endpoint);
        Arc::new(Self { collector, place, failing: Mutex::default(), lost: Box::new(lost) })
    }

    /// What there is to tell of an export: that it works again, or that it fails, and why.
    fn news(&self, spans: usize, exported: &OTelSdkResult) -> Option<Result<String, String>> {
        let mut failing = self.failing.lock().unwrap_or_else(PoisonError::into_inner);
        match exported {
            Ok(()) => {
                let lost = failing.take()?;
                Some(Ok(format!("traces go to {} again; {} lost", self.place, counted(lost, "span"))))
            }
            Err(error) => {
                (self.lost)(spans);
                let was_failing = failing.is_some();
                *failing = Some(failing.unwrap_or_default() + spans);
                (!was_failing).then(|| {
                    Err(format!(
                        "traces are lost, because {} does not accept them: {}",
                        self.place,
                        printable(&error.to_string(), MOST_TOLD)
                    ))
                })
            }
        }
    }
}

/// What others have written, as it may be told.
fn shown(text: &str) -> String {
    let hidden = secret::hidden("", Value::from(text));
    printable(hidden.as_str().unwrap_or_default(), MOST_TOLD)
}

/// Exports on the runtime's threads; the batch is collected on a thread that has no runtime.
#[derive(Debug)]
struct OnRuntime {
    exporter: Arc<SpanExporter>,
    exports: Arc<Exports>,
    runtime: Handle,
}

impl opentelemetry_sdk::trace::SpanExporter for OnRuntime {
    async fn export(&self, batch: Vec<SpanData>) -> OTelSdkResult {
        let exporter = Arc::clone(&self.exporter);
        let spans = batch.len();
        let export = self.runtime.spawn(async move { exporter.export(batch).await });
        let exported = export.await.unwrap_or_else(|error| Err(OTelSdkError::InternalFailure(error.to_string())));
        match self.exports.news(spans, &exported) {
            Some(Ok(news)) => tracing::info!("{news}"),
            Some(Err(news)) => tracing::warn!("{news}"),
            None => {}
        }
        exported
    }

    fn set_resource(&mut self, resource: &Resource) {
        if let Some(exporter) = Arc::get_mut(&mut self.exporter) {
            exporter.set_resource(resource);
        }
    }
}

/// Makes the spans of one service and sends them to a collector.
#[derive(Debug)]
pub struct Tracing {
    provider: SdkTracerProvider,
    tracer: SdkTracer,
    service: String,
}

/// The span of a message that is dealt with.
#[derive(Debug)]
pub struct Receiving<'t> {
    tracing: &'t Tracing,
    context: Context,
}

impl Tracing {
    /// Spans of a service for the collector of these exports. Needs to be called on the runtime that is to send them.
    ///
    /// # Errors
    /// The endpoint is no URL.
    pub fn new(exports: &Arc<Exports>, service: &str) -> Result<Self, String> {
        let collector = &exports.collector;
        let connector = HttpsConnectorBuilder::new().with_native_roots().map_err(|error| error.to_string())?;
        let connector = connector.https_or_http().enable_http1().build();
        let exporter = SpanExporter::builder()
            .with_http()
            .with_http_client(HyperClient::new(connector, collector.timeout, None))
            .with_protocol(Protocol::HttpBinary)
            .with_endpoint(&collector.endpoint)
            .with_timeout(collector.timeout)
            .build()
            .map_err(|error| error.to_string())?;
        let (exporter, exports) = (Arc::new(exporter), Arc::clone(exports));
        let exporter = OnRuntime { exporter, exports, runtime: Handle::current() };
        let resource = Resource::builder().with_service_name(service.to_owned()).build();
        let provider = SdkTracerProvider::builder().with_batch_exporter(exporter).with_resource(resource).build();
        let tracer = provider.tracer("zrecipe");
        Ok(Self { provider, tracer, service: service.to_owned() })
    }

    /// Sends what is left. Blocks; for at most two seconds.
    pub fn finish(&self) {
        let _ = self.provider.shutdown_with_timeout(Duration::from_secs(2));
    }

    /// Begins the span of a message that has come with these headers.
    pub fn receive(
        &self,
        headers: &Object,
        queue: &str,
        recipe_id: Option<&str>,
        more: Vec<(&'static str, Value)>,
    ) -> Receiving<'_> {
        let text = |(key, value): (&String, &Value)| Some((key.to_ascii_lowercase(), value.as_str()?.to_owned()));
        let carrier: HashMap<String, String> = headers.iter().filter_map(text).collect();
        let parent = TraceContextPropagator::new().extract_with_context(&Context::new(), &carrier);
        let mut attributes =
            vec![KeyValue::new("service_name", self.service.clone()), KeyValue::new("channel", queue.to_owned())];
        attributes.extend(recipe_id.map(|id| KeyValue::new("recipe_id", id.to_owned())));
        attributes.extend(more.into_iter().map(|(name, value)| match (value.as_i64(), value.as_str()) {
            (Some(number), _) => KeyValue::new(name, number),
            (None, Some(text)) => KeyValue::new(name, text.to_owned()),
            (None, None) => KeyValue::new(name, value.to_json()),
        }));
        let builder =
            self.tracer.span_builder("transport.subscribe").with_kind(SpanKind::Consumer).with_attributes(attributes);
        let span = self.tracer.build_with_context(builder, &parent);
        Receiving { tracing: self, context: parent.with_span(span) }
    }
}

impl Receiving<'_> {
    /// Gives a message that is sent because of it a span of its own, and takes it along.
    pub fn send(&self, message: &mut Outgoing) {
        let attributes = vec![
            KeyValue::new("service_name", self.tracing.service.clone()),
            KeyValue::new("destination", message.destination.name().to_owned()),
        ];
        let builder = self
            .tracing
            .tracer
            .span_builder("transport.send")
            .with_kind(SpanKind::Producer)
            .with_attributes(attributes);
        let span = self.tracing.tracer.build_with_context(builder, &self.context);
        let mut carrier = HashMap::new();
        TraceContextPropagator::new().inject_context(&self.context.with_span(span), &mut carrier);
        // A message that is sent on has those that it came with; and an empty `tracestate` is no header (W3C).
        message.headers.retain(|key, _| !CONTEXT.iter().any(|ours| key.eq_ignore_ascii_case(ours)));
        let carried = carrier.into_iter().filter(|(_, value)| !value.is_empty());
        message.headers.extend(carried.map(|(key, value)| (key, Value::from(value))));
    }

    /// The ids of the trace and of the span, as OpenTelemetry writes them.
    pub fn ids(&self) -> [String; 2] {
        let span = self.context.span();
        let context = span.span_context();
        [context.trace_id().to_string(), context.span_id().to_string()]
    }

    /// Ends it.
    pub fn end(self, failure: Option<&str>) {
        if let Some(reason) = failure {
            self.context.span().set_status(Status::error(reason.to_owned()));
        }
        self.context.span().end();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::AtomicUsize;
    use std::sync::atomic::Ordering::Relaxed;
    use zrecipe_broker::message::Destination;
    use zrecipe_language::site::Site;
    use zrecipe_language::source::Source;
    use zrecipe_language::syntax::yaml;

    #[test]
    fn a_site_says_where_traces_go() {
        let text = "
version: 1
python: {plugin: opentelemetry, host: traces.example, port: 4318}
ours: {plugin: opentelemetry, endpoint: 'http://localhost:4318/v1/traces', timeout: 2}
other: {plugin: jmx}
environments: {python: [python], ours: [ours], other: [other]}
";
        let site = Site::new(Arc::new(yaml::parse(Arc::new(Source::from_text("site.yml", text)))));
        for (environment, expected) in [
            ("python", Some(("https://traces.example:4318/v1/traces", 10))),
            ("ours", Some(("http://localhost:4318/v1/traces", 2))),
            ("other", None),
        ] {
            let found = Collector::of_site(&site.resolve(&[environment]).expect("is there"));
            let expected = expected.map(|(endpoint, seconds)| Collector {
                endpoint: endpoint.to_owned(),
                timeout: Duration::from_secs(seconds),
            });
            assert_eq!(found, expected, "{environment}");
        }
    }

    #[test]
    fn a_collector_that_is_away_is_told_of_once() {
        let lost = Arc::new(AtomicUsize::new(0));
        let counter = Arc::clone(&lost);
        let collector =
            Collector { endpoint: "http://user:word@traces.example/v1/traces".to_owned(), timeout: TIMEOUT };
        let exports = Exports::new(collector, move |spans| _ = counter.fetch_add(spans, Relaxed));
        let failed = || Err(OTelSdkError::InternalFailure("no\nroute".to_owned()));
        let place = "http://•••@traces.example/v1/traces";
        let gone = format!("traces are lost, because {place} does not accept them: Operation failed: no␊route");
        let again = format!("traces go to {place} again; 5 spans lost");
        for (spans, exported, expected) in [
            (1, Ok(()), None),
            (2, failed(), Some(Err(gone.clone()))),
            (3, failed(), None),
            (4, Ok(()), Some(Ok(again))),
            (5, Ok(()), None),
            (6, failed(), Some(Err(gone))),
        ] {
            assert_eq!(exports.news(spans, &exported), expected, "{spans}");
        }
        assert_eq!(lost.load(Relaxed), 11);
    }

    /// Spans of a service, and how many of them nobody has taken.
    fn tracing(endpoint: String) -> (Tracing, Arc<AtomicUsize>) {
        let lost = Arc::new(AtomicUsize::new(0));
        let counter = Arc::clone(&lost);
        let collector = Collector { endpoint, timeout: TIMEOUT };
        let exports = Exports::new(collector, move |spans| _ = counter.fetch_add(spans, Relaxed));
        (Tracing::new(&exports, "Runner").expect("is a collector"), lost)
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn what_a_collector_does_not_take_is_counted() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a socket");
        let address = listener.local_addr().expect("is bound");
        drop(listener);
        let (tracing, lost) = tracing(format!("http://{address}/v1/traces"));
        for _ in 0..3 {
            tracing.receive(&Object::new(), "images", None, Vec::new()).end(None);
        }
        tokio::task::spawn_blocking(move || tracing.finish()).await.expect("finishes");
        assert_eq!(lost.load(Relaxed), 3);
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn the_context_that_came_goes_on() {
        let (tracing, _) = tracing("http://127.0.0.1:1/v1/traces".to_owned());
        let parent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
        let headers = |state: &[(&str, &str)]| {
            let headers = [("traceparent", parent)].into_iter().chain(state.iter().copied());
            headers.map(|(key, value)| (key.to_owned(), Value::from(value))).collect::<Object>()
        };
        for (state, expected) in [
            (vec![], None),
            (vec![("tracestate", "a=1,b=2")], Some("a=1,b=2")),
            (vec![("TraceState", "a=1")], Some("a=1")),
            // They are as good as none (W3C Trace Context).
            (vec![("tracestate", "")], None),
            (vec![("TraceState", "")], None),
            (vec![("tracestate", " ")], None),
            (vec![("tracestate", "nothing")], None),
        ] {
            let headers = headers(&state);
            let destination = Destination::Queue("out".to_owned());
            // A message that is tried again has the headers that it came with.
            let mut sent = Outgoing::new("id".to_owned(), destination, headers.clone(), Vec::new());
            tracing.receive(&headers, "images", None, Vec::new()).send(&mut sent);
            let carried = sent.headers.get("traceparent").and_then(Value::as_str).expect("a context");
            assert!(carried.starts_with(&parent[..36]) && carried != parent, "{carried}");
            let states: Vec<&Value> = sent
                .headers
                .iter()
                .filter(|(key, _)| key.eq_ignore_ascii_case("tracestate"))
                .map(|(_, value)| value)
                .collect();
            assert_eq!(states, expected.map(Value::from).iter().collect::<Vec<_>>(), "{state:?}");
        }
    }
}
