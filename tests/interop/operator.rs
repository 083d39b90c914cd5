//! What an operator changes and looks at: `zrecipe broker apply` beside `zocalo.configure_rabbitmq`, `doctor`, `status`
//! and `monitor`.

use std::path::Path;
use std::process::Stdio;
use std::sync::Arc;

use tempfile::TempDir;
use tokio::process::Command;
use zrecipe::ops::management::Management;
use zrecipe::site::Site;
use zrecipe::source::Source;
use zrecipe::syntax::yaml;
use zrecipe::value::Value;

use crate::contract::within;
use crate::port::Port;
use crate::python::program;
use crate::rabbitmq::Node;
use crate::terminal::Tmux;
use crate::wait::eventually_ok;

/// The password of a user, which nothing ever shows.
const CANARY: &str = "kanarienvogel";

const CONFIGURATION: &str = r#"
vhosts:
- {name: zocalo, description: the services, tags: [analysis]}
permissions:
- {vhost: zocalo, user: guest, configure: .*, write: .*, read: .*}
- {vhost: zocalo, user: ana, configure: '', write: ^images$, read: .*}
policies:
- {name: redelivery, vhost: zocalo, pattern: .*, definition: {delivery-limit: 5}}
- {name: all, vhost: zocalo, pattern: ^x, apply-to: all, priority: 3, definition: {max-length: 10}}
exchanges:
- {name: results, vhost: zocalo, type: topic}
- {name: spare, vhost: zocalo, type: direct, durable: true}
bindings:
- {source: results, destination: images, routing_key: "a.*", vhost: zocalo}
- {source: results, destination: images, vhost: zocalo}
groups:
- names: [images, index]
  vhost: zocalo
  bindings: ['', spare]
  settings: {queues: {type: quorum, dead-letter-routing-key-pattern: 'dlq.{name}'}}
- names: [plain]
  vhost: zocalo
- names: [log]
  vhost: zocalo
  settings: {queues: {type: stream}}
- names: [command, transient.status]
  vhost: zocalo
  settings: {broadcast: true}
"#;

/// A node, and a directory with the files about it.
pub struct Office {
    pub node: Node,
    pub directory: TempDir,
    pub management: Management,
    /// Where nobody listens.
    closed: Port,
}

impl Office {
    pub async fn open(name: &str) -> Self {
        let node = Node::start(name, None).await;
        let directory = tempfile::tempdir().expect("a directory");
        let closed = Port::closed();
        let site = format!(
            "version: 1\n\
             environments: {{default: [pika, api, places]}}\n\
             pika: {{plugin: pika, host: 127.0.0.1, port: {}, username: guest, password: guest, vhost: zocalo}}\n\
             api: {{plugin: rabbitmqapi, base_url: \"http://127.0.0.1:{}/api,http://127.0.0.1:{}/api\",\n  \
             username: guest, password: guest,\n  \
             vhost: zocalo}}\n\
             places: {{plugin: storage, zocalo.recipe_directory: {}/recipes,\n  \
             zocalo.default_transport: PikaTransport}}\n",
            node.port,
            // Nobody listens there: both sides go on to the next.
            closed.number(),
            node.api_port,
            directory.path().display(),
        );
        let source = Arc::new(Source::from_text("site.yml", site.as_str()));
        let read = Site::new(Arc::new(yaml::parse(source)));
        let plugins = read.resolve(&["default"]).expect("an environment");
        let management = Management::of_site(&plugins, "zocalo").expect("an address").expect("an API");
        let office = Self { node, directory, management, closed };
        std::fs::create_dir(office.directory.path().join("recipes")).expect("a directory");
        std::fs::create_dir(office.directory.path().join("users")).expect("a directory");
        office.write("site.yml", &site);
        let user = |name: &str, password: &str, tags: &str| {
            format!("[rabbitmq]\nusername = {name}\npassword = {password}\ntags = {tags}\n")
        };
        office.write("users/guest.ini", &user("guest", "guest", "administrator"));
        office.write("users/ana.ini", &user("ana", CANARY, "monitoring"));
        office
    }

    pub fn write(&self, name: &str, text: &str) {
        std::fs::write(self.directory.path().join(name), text).expect("write");
    }

    /// A program in the directory, with the site configuration that lies there.
    pub fn command(&self, program: &Path, arguments: &str) -> Command {
        let mut command = Command::new(program);
        let home = self.directory.path();
        command.args(arguments.split(' ').filter(|argument| !argument.is_empty())).current_dir(home);
        command.env("ZOCALO_CONFIG", home.join("site.yml")).env("ZRECIPE_STATE", home.join("state"));
        command.env_remove("ZOCALO_DEFAULT_ENV").stdin(Stdio::null()).kill_on_drop(true);
        command
    }

    /// Runs zrecipe to this exit code, with this among what it prints and says.
    pub async fn expect(&self, arguments: &str, code: i32, said: &[&str]) -> String {
        let mut command = self.command(Path::new(env!("CARGO_BIN_EXE_zrecipe")), arguments);
        let output = within("the end of zrecipe", command.output()).await.expect("zrecipe starts");
        let text = [output.stdout, output.stderr].map(|bytes| String::from_utf8(bytes).expect("UTF-8")).concat();
        let is_right = output.status.code() == Some(code) && said.iter().all(|said| text.contains(said));
        assert!(is_right, "{arguments}: {}, expected {code} and {said:?}:\n{text}", output.status);
        assert!(!text.contains(CANARY), "{arguments} shows a password:\n{text}");
        text
    }

    /// The same as soon as it comes to that: the numbers of RabbitMQ lag.
    async fn comes_to(&self, arguments: &str, code: i32, said: &[&str]) {
        eventually_ok(arguments, async || {
            let mut command = self.command(Path::new(env!("CARGO_BIN_EXE_zrecipe")), arguments);
            let output = within("the end of zrecipe", command.output()).await.expect("zrecipe starts");
            let text = String::from_utf8_lossy(&output.stdout);
            let is_right = output.status.code() == Some(code) && said.iter().all(|said| text.contains(said));
            if is_right { Ok(()) } else { Err(format!("{}, expected {said:?}:\n{text}", output.status)) }
        })
        .await;
    }

    pub async fn put(&self, path: &str, body: &str) {
        let body = zrecipe::syntax::json::read_value(body.as_bytes()).expect("JSON");
        let is_done = if path.starts_with("bindings") || path.ends_with("publish") {
            self.management.post(path, &body).await.map(drop)
        } else {
            self.management.put(path, &body).await
        };
        is_done.expect(path);
    }

    async fn put_message(&self, queue: &str) {
        let message = format!(
            r#"{{"properties": {{}}, "routing_key": "{queue}", "payload": "x", "payload_encoding": "string"}}"#
        );
        self.put("exchanges/zocalo/amq.default/publish", &message).await;
    }

    /// Everything that the broker has been told, in one order, and without the hashes of passwords, which are salted.
    async fn definitions(&self) -> String {
        let definitions = self.management.get("definitions").await.expect("definitions");
        let kinds = ["users", "vhosts", "permissions", "policies", "queues", "exchanges", "bindings"];
        let mut lines = Vec::new();
        for kind in kinds {
            let listed = definitions.get(kind).and_then(Value::as_array).expect("a list");
            for thing in listed {
                let mut thing = thing.as_object().expect("an object").clone();
                thing.shift_remove("password_hash");
                thing.sort_keys();
                lines.push(format!("{kind} {}", Value::Object(thing).to_json()));
            }
        }
        lines.sort();
        lines.join("\n")
    }
}

/// Each disease has its remedy, and a healthy broker none.
async fn diseases_are_found(office: &Office) {
    let recipe = r#"{"1": {"queue": "images", "output": 2}, "2": {"queue": "nowhere"}, "start": [[1, []]]}"#;
    office.write("recipes/first.json", recipe);
    let lacks =
        ["there is no queue `nowhere`, which the recipe `first` needs", "there is no queue `processing_recipe`"];
    office.expect("doctor", 1, &lacks).await;
    let quorum = r#"{"durable": true, "arguments": {"x-queue-type": "quorum"}}"#;
    for queue in ["nowhere", "processing_recipe", "runner.submission", "jsonlines"] {
        office.put(&format!("queues/zocalo/{queue}"), quorum).await;
    }
    let fine = [
        "connection    127.0.0.1:",
        "topics",
        "permissions   user `guest` has the permissions",
        "clock",
        "RabbitMQ 3.",
    ];
    office.comes_to("doctor", 0, &fine).await;
    for queue in ["nowhere", "dlq.images"] {
        office.put_message(queue).await;
    }
    let waits = [
        "1 message waits in `nowhere` and no service consumes it",
        "1 dead letter in `dlq.images`",
        "zrecipe dlq diagnose",
    ];
    office.comes_to("doctor", 1, &waits).await;
    office.comes_to("doctor --json", 1, &["\"about\": \"consumers\""]).await;
    let site = std::fs::read_to_string(office.directory.path().join("site.yml")).expect("read");
    let (port, closed) = (office.node.port, office.closed.number());
    let wrong = site
        .replace("host: 127.0.0.1,", "host: \"127.0.0.1,127.0.0.1\",")
        .replace(&format!("port: {port},"), &format!("port: \"{port},{closed}\","))
        .replace("password: guest, vhost: zocalo}\napi", &format!("password: {CANARY}, vhost: zocalo}}\napi"))
        .replace("rabbitmqapi,", "somethingelse,");
    office.write("wrong.yml", &wrong);
    let wrong = [
        "the user or the password is wrong",
        "connection refused: no broker listens there",
        "rabbitmqctl authenticate_user",
        "api is",
    ];
    office.expect("doctor --site wrong.yml", 1, &wrong[..3]).await;
    // The API is about the virtual host of `pika`, and not about the queues of another.
    let of_api = "password: guest,\n  vhost: zocalo}";
    office.write("unsaid.yml", &site.replace(of_api, "password: guest}"));
    office.comes_to("queues --site unsaid.yml", 0, &["images"]).await;
    office.comes_to("dlq check --site unsaid.yml", 1, &["dlq.images"]).await;
    office.write("other.yml", &site.replace(of_api, "password: guest,\n  vhost: /}"));
    let other = ["plugin `rabbitmqapi` uses virtual host `/`, but `pika` uses `zocalo`"];
    for arguments in ["queues", "dlq check", "dlq list"] {
        office.expect(&format!("{arguments} --site other.yml"), 2, &other).await;
    }
    office.expect("doctor --site other.yml", 1, &other).await;
    // Whose rights nobody may see is tried.
    for command in ["add_user weak weak", "set_user_tags weak monitoring"] {
        office.node.control(&command.split(' ').collect::<Vec<_>>());
    }
    office.node.control(&["set_permissions", "-p", "zocalo", "weak", "", "", ".*"]);
    office.write("weak.yml", &site.replace("username: guest, password: guest", "username: weak, password: weak"));
    let refused = ["the user cannot subscribe to topics: this user may not do it", "the user cannot publish to queues"];
    office.expect("doctor --site weak.yml", 1, &refused).await;
    office.node.control(&["set_permissions", "-p", "zocalo", "weak", ".*", ".*", "^(transient|amq)"]);
    let unknown =
        ["warning  permissions   the user can subscribe to topics and publish to queues; whether it can consume"];
    office.expect("doctor --site weak.yml", 1, &unknown).await;
    office.node.control(&["delete_user", "weak"]);
    // Nobody could look, so nobody says that there is nothing.
    office.write(
        "closed.yml",
        &site.replace("username: guest, password: guest,\n  vhost", "username: guest, password: no,\n  vhost"),
    );
    let unknown = ["queues and dead letters are unknown", "401 Unauthorized", "of plugin `rabbitmqapi`"];
    office.expect("status --wait 0 --site closed.yml", 2, &unknown).await;
    office.expect("status --wait 0 --json --site closed.yml", 2, &["\"dead_letters\": null"]).await;
    // Each says what to do, and what is named is asked for by AMQP.
    for arguments in ["queues", "dlq list", "dlq check", "peek images"] {
        let said = ["401 Unauthorized", "help: `username` and `password` of plugin `rabbitmqapi`"];
        office.expect(&format!("{arguments} --site closed.yml"), 2, &said).await;
    }
    office.expect("dlq check images --site closed.yml", 1, &["warning: the management API", "dlq.images"]).await;
    office.expect("queues images --site closed.yml", 0, &["warning: the management API", "images"]).await;
    office.write("no-api.yml", &site.replace("rabbitmqapi,", "somethingelse,"));
    office.expect("dlq check images --site no-api.yml", 1, &["dlq.images"]).await;
    office.write("no-vhost.yml", &site.replace("vhost: zocalo}", "vhost: nosuch}"));
    let said =
        ["404 Not Found", "help: `vhost` of plugin `pika` or `rabbitmqapi` names a virtual host that does not exist"];
    office.expect("queues --site no-vhost.yml", 2, &said).await;
    office.expect("doctor --site no-vhost.yml", 1, &said[1..].iter().map(|said| &said[6..]).collect::<Vec<_>>()).await;
}

/// Services of both sides are seen, and stopped from the screen.
async fn services_are_seen_and_stopped(office: &Office) {
    let start = |program: &Path, arguments: &str| {
        let mut command = office.command(program, arguments);
        command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("starts")
    };
    let ours = start(Path::new(env!("CARGO_BIN_EXE_zrecipe")), "service -s Runner");
    let theirs = start(&program("zocalo.service"), "-s JSONLines");
    let seen = ["\"service\": \"Runner\"", "\"class\": \"JSONLines\"", "\"queue\": \"runner.submission"];
    office.comes_to("status --json", 0, &seen).await;
    office.comes_to("status", 0, &["dlq.images", "nowhere", "idle"]).await;
    let home = office.directory.path();
    let site = home.join("site.yml");
    let screen = Tmux::start(home, &[("ZOCALO_CONFIG", site.as_path())]);
    screen.works(vec![("Runner", ours), ("JSON Lines", theirs)]).await;
}

/// What the broker has and nobody describes, or describes otherwise.
async fn leave_something_behind(office: &Office) {
    // The reference cannot read one that was made otherwise.
    office.put("vhosts/zocalo", r#"{"description": "the services", "tags": ["analysis"]}"#).await;
    office.node.control(&["add_user", "bob", "bob"]);
    for vhost in ["zocalo", "/"] {
        office.node.control(&["set_permissions", "-p", vhost, "guest", ".*", ".*", ".*"]);
    }
    office.put("queues/zocalo/extra", r#"{"durable": true, "arguments": {"x-queue-type": "quorum"}}"#).await;
    office.put("queues/zocalo/more", r#"{"durable": true}"#).await;
    office.put("queues/zocalo/gone.later", r#"{"auto_delete": true}"#).await;
    office.put("exchanges/zocalo/odd", r#"{"type": "fanout", "durable": true}"#).await;
    office.put("bindings/zocalo/e/odd/q/more", r#"{"routing_key": "k", "arguments": {"a": 1}}"#).await;
    office.put("policies/zocalo/redelivery", r#"{"pattern": "x", "definition": {"delivery-limit": 7}}"#).await;
    office.put("policies/zocalo/odd", r#"{"pattern": "x", "definition": {"max-length": 7}}"#).await;
}

/// A configuration makes the same of a broker as the reference makes of another, and the second time nothing.
async fn configurations_are_applied(ours: &Office, theirs: &Office, text: &str, users: bool) {
    for office in [ours, theirs] {
        leave_something_behind(office).await;
        office.write("broker.yml", text);
    }
    let (our_users, their_users) = if users { (" users", " --user-config users") } else { ("", "") };
    let mut reference = theirs.command(&program("zocalo.configure_rabbitmq"), &format!("broker.yml{their_users}"));
    let output = within("the end of the reference", reference.output()).await.expect("it starts");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let file = format!("broker.yml{our_users}");
    ours.expect(&format!("broker diff {file}"), 1, &["- queue extra in zocalo", "~ policy redelivery"]).await;
    ours.expect(&format!("broker apply {file}"), 2, &["nothing was done", "--yes"]).await;
    ours.expect(&format!("broker apply --yes {file}"), 0, &["changes made"]).await;
    assert_eq!(ours.definitions().await, theirs.definitions().await);
    for office in [ours, theirs] {
        office.expect(&format!("broker diff {file}"), 0, &["no difference"]).await;
    }
    ours.expect(&format!("broker apply --yes --json {file}"), 0, &["\"changes\": []"]).await;
}

/// Nothing that holds messages goes unless that is said twice.
async fn nothing_is_lost(office: &Office) {
    let changed = CONFIGURATION
        .replace("{queues: {type: quorum, dead", "{single_active_consumer: true, queues: {type: quorum, dead")
        .replace("type: topic", "type: direct");
    office.write("changed.yml", &changed);
    office.put("queues/zocalo/extra", r#"{"durable": true, "arguments": {"x-queue-type": "quorum"}}"#).await;
    office.put("queues/zocalo/more", r#"{"durable": true}"#).await;
    for queue in ["images", "extra", "more"] {
        let message = format!(
            r#"{{"properties": {{}}, "routing_key": "{queue}", "payload": "x", "payload_encoding": "string"}}"#
        );
        office.put("exchanges/zocalo/amq.default/publish", &message).await;
    }
    // The numbers may lag: what is not known to be in use is found to be.
    let stays = ["! queue images", "a queue cannot be changed", "--recreate images", "! exchange results"];
    office.expect("broker apply --yes changed.yml", 1, &stays).await;
    office.expect("broker apply --yes changed.yml --recreate images --recreate index", 1, &["± queue index"]).await;
    for queue in ["images", "extra", "more"] {
        // The queue itself knows.
        let got = r#"{"count": 1, "ackmode": "ack_requeue_true", "encoding": "auto"}"#;
        let got = zrecipe::syntax::json::read_value(got.as_bytes()).expect("JSON");
        let path = format!("queues/zocalo/{queue}/get");
        let answer = office.management.post(&path, &got).await.expect("an answer");
        assert_eq!(answer.as_array().map(<[Value]>::len), Some(1), "{queue}");
    }
    let both = "--recreate images --recreate results --remove extra --remove more --discard-messages";
    office.expect(&format!("broker apply --yes changed.yml {both}"), 0, &["changes made"]).await;
    office.expect("broker diff changed.yml", 0, &["no difference"]).await;
    // What the broker lacks is said once, and the rest is done.
    let lacking =
        changed.clone() + "- {names: [late], vhost: zocalo, bindings: ['', later]}\n- {names: [a, b], vhost: nosuch}\n";
    let lacking = lacking.replace(
        "exchanges:\n",
        "exchanges:\n- {name: later, vhost: zocalo, type: x-delayed-message, arguments: {x-delayed-type: direct}}\n",
    );
    office.write(
        "lacking.yml",
        &lacking.replace("vhosts:\n- {name: zocalo, description: the services, tags: [analysis]}\n", ""),
    );
    let lacks = [
        "plug-in `rabbitmq_delayed_message_exchange` is not enabled; 2 changes need it\n  help: install its file, then run `rabbitmq-plugins enable",
        "no virtual host `nosuch`; 2 changes need it\n  help: add `vhosts: [{name: nosuch}]` to the file",
    ];
    office.expect("broker diff lacking.yml", 1, &lacks).await;
    let told = ["`--recreate imags` has no effect", "`--remove late` has no effect"];
    office.expect("broker diff changed.yml --recreate imags --remove late --discard-messages", 0, &told).await;
    let said = office.expect("broker apply --yes lacking.yml", 1, &[lacks[0], lacks[1], "1 of 1 changes made"]).await;
    assert!(!said.contains("404") && said.matches("rabbitmq_delayed").count() == 2, "{said}");
    office.expect("broker apply --yes changed.yml", 0, &["changes made"]).await;
}

/// What is kept keeps the queue of its dead letters, the exchange, the bindings and the policy that lead there.
async fn what_stays_keeps_its_dead_letters(office: &Office) {
    let base = std::fs::read_to_string(office.directory.path().join("changed.yml")).expect("read");
    let named = base.clone()
        + "- {names: [mimas], vhost: zocalo, settings: {queues: {type: quorum, dead-letter-routing-key-pattern: 'dlq.{name}'}}}\n";
    office.write("with.yml", &named);
    office.expect("broker apply --yes with.yml", 0, &["changes made"]).await;
    // One that has its dead letters by a policy, an exchange and a binding.
    office.put("exchanges/zocalo/dlx", r#"{"type": "direct", "durable": true}"#).await;
    for queue in ["rhea", "letters.rhea"] {
        office
            .put(&format!("queues/zocalo/{queue}"), r#"{"durable": true, "arguments": {"x-queue-type": "quorum"}}"#)
            .await;
    }
    office.put("bindings/zocalo/e/dlx/q/letters.rhea", r#"{"routing_key": "rhea", "arguments": {}}"#).await;
    let policy = r#"{"pattern": "^rhea$", "priority": 5, "definition": {"dead-letter-exchange": "dlx", "dead-letter-routing-key": "rhea"}}"#;
    office.put("policies/zocalo/letters", policy).await;
    for queue in ["mimas", "rhea"] {
        for _ in 0..30 {
            office.put_message(queue).await;
        }
    }
    office.comes_to("queues mimas --json", 0, &["\"messages\": 30"]).await;
    office.write("without.yml", &base);
    let kept = [
        "! queue mimas in zocalo",
        "! queue dlq.mimas in zocalo\n    not done: queue `mimas` needs it for its dead letters",
        "! queue letters.rhea in zocalo\n    not done: queue `rhea` needs it",
        "! exchange dlx in zocalo\n    not done: queue `rhea` needs it",
        "! policy letters in zocalo\n    not done: queue `rhea` needs it",
    ];
    office.comes_to("broker diff without.yml", 1, &kept).await;
    office.expect("broker apply --yes --json without.yml", 1, &["\"done\": false"]).await;
    for queue in ["mimas", "rhea"] {
        let rejected = r#"{"count": 5, "ackmode": "reject_requeue_false", "encoding": "auto"}"#;
        let rejected = zrecipe::syntax::json::read_value(rejected.as_bytes()).expect("JSON");
        office.management.post(&format!("queues/zocalo/{queue}/get"), &rejected).await.expect("an answer");
    }
    office.comes_to("queues dlq.mimas letters.rhea --json", 0, &["\"ready\": 5"]).await;
    let counts = office.expect("queues dlq.mimas letters.rhea --json", 0, &[]).await;
    assert_eq!(counts.matches("\"ready\": 5").count(), 2, "{counts}");
    let all = "--remove mimas --remove rhea --remove dlq.mimas --remove letters.rhea --discard-messages";
    office.expect(&format!("broker apply --yes without.yml {all}"), 0, &["changes made"]).await;
    office.expect("broker diff without.yml", 0, &["no difference"]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn brokers_are_configured_as_the_reference_does_it() {
    let (ours, theirs) = tokio::join!(Office::open("ours"), Office::open("theirs"));
    configurations_are_applied(&ours, &theirs, CONFIGURATION, true).await;
    nothing_is_lost(&ours).await;
    what_stays_keeps_its_dead_letters(&ours).await;
    // The plug-in for delays is not part of RabbitMQ.
    let facility = include_str!("../facility/broker.yml").replace("x-delayed-message", "direct");
    for office in [&ours, &theirs] {
        office.node.control(&["delete_vhost", "zocalo"]);
    }
    configurations_are_applied(&ours, &theirs, &facility, false).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_broker_is_diagnosed_and_its_services_are_stopped() {
    let office = Office::open("office").await;
    office.put("vhosts/zocalo", r#"{"description": "the services", "tags": ["analysis"]}"#).await;
    office.write("broker.yml", CONFIGURATION);
    office.expect("broker apply --yes broker.yml users", 0, &["changes made"]).await;
    diseases_are_found(&office).await;
    services_are_seen_and_stopped(&office).await;
}
