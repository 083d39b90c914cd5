//! The pod or the cluster job that this process runs in, for its status: the fields of
//! `zocalo.util.extended_status_dictionary`.

use std::path::Path;
use std::sync::{LazyLock, OnceLock};
use std::time::Duration;

use zrecipe_language::value::Value;

use crate::http::{Client, Method, escape};

/// A field of the status and its value.
pub type Fact = (&'static str, String);

/// Where a pod has the credentials of its service account.
const ACCOUNT: &str = "/var/run/secrets/kubernetes.io/serviceaccount";

/// The API of the cluster, from inside.
const API: &str = "https://kubernetes.default.svc";

/// Maximum time for the answer of the API.
const PATIENCE: Duration = Duration::from_secs(5);

/// The facts about the job.
static JOB: LazyLock<Vec<Fact>> = LazyLock::new(|| job(variable));

/// The facts about the pod, as soon as they are known.
static POD: OnceLock<Vec<Fact>> = OnceLock::new();

/// Adds the facts about this process to a status; those about the pod are missing until [`find`] has found them.
pub fn add_to(status: &mut Value) {
    if let Value::Object(status) = status {
        let facts = JOB.iter().chain(POD.get().into_iter().flatten());
        status.extend(facts.map(|(name, value)| ((*name).to_owned(), Value::from(value.as_str()))));
    }
}

/// Begins to find the facts about the pod; nobody waits for the API of the cluster. What cannot be found is left out.
pub fn find() {
    tokio::spawn(async {
        match pod(Path::new(ACCOUNT), API, variable("HOSTNAME")).await {
            Ok(found) => _ = POD.set(found),
            Err(reason) => tracing::debug!("the pod is not shown in the status: {reason}"),
        }
    });
}

fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|value| !value.is_empty())
}

/// The job of Grid Engine, or of another scheduler that sets `JOB_ID`.
fn job(variable: impl Fn(&str) -> Option<String>) -> Vec<Fact> {
    let Some(id) = variable("JOB_ID") else { return Vec::new() };
    // The file of the job counts more than the variable.
    let configuration = variable("SGE_JOB_SPOOL_DIR").and_then(|directory| {
        let text = std::fs::read_to_string(Path::new(&directory).join("config")).ok()?;
        let is_cell = |line: &&str| line.get(..9).is_some_and(|key| key.eq_ignore_ascii_case("SGE_CELL="));
        text.lines().find(is_cell).map(|line| line[9..].to_owned())
    });
    let cell = configuration.or_else(|| variable("SGE_CELL"));
    std::iter::once(("cluster_JOB_ID", id)).chain(cell.map(|cell| ("cluster_SGE_CELL", cell))).collect()
}

/// The images and the node of the pod; nothing outside of Kubernetes.
async fn pod(account: &Path, api: &str, name: Option<String>) -> Result<Vec<Fact>, String> {
    let authority = account.join("ca.crt");
    let Some(name) = name.filter(|_| authority.is_file()) else { return Ok(Vec::new()) };
    let read = |path: &Path| std::fs::read_to_string(path).map_err(|error| format!("{}: {error}", path.display()));
    let (namespace, token) = (read(&account.join("namespace"))?, read(&account.join("token"))?);
    let mut client = Client::trusting(api, read(&authority)?)?;
    client.wait(PATIENCE);
    let path = format!("api/v1/namespaces/{}/pods/{}", escape(namespace.trim()), escape(&name));
    let login = [("authorization", format!("Bearer {}", token.trim()))];
    let answer = client.ask(Method::GET, &path, &login, None).await.map_err(|error| error.to_string())?;
    if !answer.is_success() {
        return Err(format!("{api} answers with status {}", answer.status()));
    }
    Ok(described(&answer.value()?))
}

/// What the API says about a pod.
fn described(pod: &Value) -> Vec<Fact> {
    let specification = pod.get("spec");
    let containers = specification.and_then(|specification| specification.get("containers")).and_then(Value::as_array);
    let images = containers.unwrap_or_default().iter().filter_map(|container| container.get("image")?.as_str());
    let mut images: Vec<&str> = images.filter(|image| !image.is_empty()).collect();
    images.sort_unstable();
    images.dedup();
    let images = Some(images.join(",")).filter(|images| !images.is_empty()).map(|images| ("container_image", images));
    let node = specification.and_then(|specification| specification.get("nodeName")).and_then(Value::as_str);
    images.into_iter().chain(node.map(|node| ("container_node", node.to_owned()))).collect()
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

    use super::*;

    #[test]
    fn a_cluster_job_is_found_by_its_variables_and_its_file() {
        let directory = tempfile::tempdir().expect("a directory");
        std::fs::write(directory.path().join("config"), "a=b\nsge_cell=own\n").expect("written");
        let spool = directory.path().to_string_lossy().into_owned();
        let found = |given: &[(&str, &str)]| {
            let facts =
                job(|name| given.iter().find(|(known, _)| *known == name).map(|(_, value)| (*value).to_owned()));
            facts.into_iter().map(|(name, value)| format!("{name}={value}")).collect::<Vec<_>>().join(" ")
        };
        assert_eq!(found(&[("SGE_CELL", "x")]), "");
        assert_eq!(found(&[("JOB_ID", "5")]), "cluster_JOB_ID=5");
        assert_eq!(found(&[("JOB_ID", "5"), ("SGE_CELL", "x")]), "cluster_JOB_ID=5 cluster_SGE_CELL=x");
        let given = [("JOB_ID", "5"), ("SGE_CELL", "x"), ("SGE_JOB_SPOOL_DIR", &*spool)];
        assert_eq!(found(&given), "cluster_JOB_ID=5 cluster_SGE_CELL=own");
    }

    #[tokio::test]
    async fn a_pod_is_found_by_the_api_of_the_cluster() {
        let directory = tempfile::tempdir().expect("a directory");
        let name = Some("worker-1".to_owned());
        assert_eq!(pod(directory.path(), "http://localhost:1", name.clone()).await, Ok(Vec::new()));
        for (file, text) in [("ca.crt", ""), ("namespace", "zocalo"), ("token", "s3cret\n")] {
            std::fs::write(directory.path().join(file), text).expect("written");
        }
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let api = format!("http://{}", listener.local_addr().expect("is bound"));
        tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                let mut request = Vec::new();
                while !request.ends_with(b"\r\n\r\n") {
                    request.push(stream.read_u8().await.expect("a request"));
                }
                let request = String::from_utf8(request).expect("text");
                assert!(
                    request.to_lowercase().contains("authorization: bearer s3cret\r\n"),
                    "the token is sent: {request}"
                );
                let (status, body) = if request.starts_with("GET /api/v1/namespaces/zocalo/pods/worker-1 ") {
                    let images = r#"[{"image": "b:2"}, {"image": "a:1"}, {"image": "b:2"}]"#;
                    ("200 OK", format!(r#"{{"spec": {{"nodeName": "node7", "containers": {images}}}}}"#))
                } else {
                    ("404 Not Found", String::new())
                };
                let length = body.len();
                let answer =
                    format!("HTTP/1.1 {status}\r\ncontent-length: {length}\r\nconnection: close\r\n\r\n{body}");
                stream.write_all(answer.as_bytes()).await.expect("is read");
            }
        });
        let expected = vec![("container_image", "a:1,b:2".to_owned()), ("container_node", "node7".to_owned())];
        assert_eq!(pod(directory.path(), &api, name).await, Ok(expected));
        let error = pod(directory.path(), &api, Some("other".to_owned())).await.expect_err("there is no such pod");
        assert!(error.contains("404") && !error.contains("s3cret"), "{error}");
    }
}
