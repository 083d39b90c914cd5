//! Traces by OpenTelemetry, joined across services by the headers of messages (W3C Trace Context), with the names that
//! `workflows.transport.middleware.otel_tracing` uses.

use std::collections::HashMap;
use std::sync::Arc;
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

use crate::message::Outgoing;
use crate::site::Plugins;
use crate::value::{Object, Value};

/// How long an export may take when the site does not say.
const TIMEOUT: Duration = Duration::from_secs(10);

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

/// Exports on the runtime's threads; the batch is collected on a thread that has no runtime.
#[derive(Debug)]
struct OnRuntime {
    exporter: Arc<SpanExporter>,
    runtime: Handle,
}

impl opentelemetry_sdk::trace::SpanExporter for OnRuntime {
    async fn export(&self, batch: Vec<SpanData>) -> OTelSdkResult {
        let exporter = Arc::clone(&self.exporter);
        let export = self.runtime.spawn(async move { exporter.export(batch).await });
        export.await.unwrap_or_else(|error| Err(OTelSdkError::InternalFailure(error.to_string())))
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
    /// Spans of a service for this collector. Needs to be called on the runtime that is to send them.
    ///
    /// # Errors
    /// The endpoint is no URL.
    pub fn new(collector: &Collector, service: &str) -> Result<Self, String> {
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
        let exporter = OnRuntime { exporter: Arc::new(exporter), runtime: Handle::current() };
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
    pub fn receive(&self, headers: &Object, queue: &str, recipe_id: Option<&str>) -> Receiving<'_> {
        let text = |(key, value): (&String, &Value)| Some((key.to_ascii_lowercase(), value.as_str()?.to_owned()));
        let carrier: HashMap<String, String> = headers.iter().filter_map(text).collect();
        let parent = TraceContextPropagator::new().extract_with_context(&Context::new(), &carrier);
        let mut attributes =
            vec![KeyValue::new("service_name", self.service.clone()), KeyValue::new("channel", queue.to_owned())];
        attributes.extend(recipe_id.map(|id| KeyValue::new("recipe_id", id.to_owned())));
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
        message.headers.extend(carrier.into_iter().map(|(key, value)| (key, Value::from(value))));
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
    use crate::site::Site;
    use crate::source::Source;
    use crate::syntax::yaml;

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
}
