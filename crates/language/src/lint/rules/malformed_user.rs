//! Users of the broker whose files say too little or too much.

use crate::diagnostic::Sink;
use crate::lint::Context;

declare_rule! {
    /// The file of a broker's user has an error.
    ///
    /// # Why
    /// `zocalo.configure_rabbitmq` creates a user for every `.ini` file, and deletes all users that no file describes.
    /// It stops at the first file that it cannot read, after it has changed other users.
    ///
    /// # Example
    /// ```ini
    /// [rabbitmq]
    /// username = custom
    /// tags = administrator
    /// ```
    ///
    /// # Instead
    /// ```ini
    /// [rabbitmq]
    /// username = custom
    /// password = 1f0b
    /// tags = administrator
    /// ```
    ///
    /// # When not to follow it
    /// The file belongs to another program. Then `[[files]]` in zrecipe.toml states its kind.
    "malformed-user", Error, about [Users]
}

fn check(cx: &Context<'_>, sink: &mut Sink) {
    let faults = cx.document.users().into_iter().flat_map(|reading| &reading.faults);
    sink.extend(faults.map(|fault| RULE.at(fault.span, fault.message.clone())));
}
