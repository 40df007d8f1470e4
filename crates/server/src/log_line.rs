use crate::http::RequestId;
use std::fmt;
use tracing::{Event, Subscriber};
use tracing_subscriber::fmt::FmtContext;
use tracing_subscriber::fmt::format::{FormatEvent, FormatFields, Writer};
use tracing_subscriber::registry::LookupSpan;

/// Adds the id of the request for which a line is written.
pub struct WithRequestId<F> {
    /// Writes the line.
    pub line: F,
    /// Whether it is a JSON object.
    pub is_json: bool,
}

impl<S, N, F> FormatEvent<S, N> for WithRequestId<F>
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
    F: FormatEvent<S, N>,
{
    fn format_event(
        &self,
        context: &FmtContext<'_, S, N>,
        mut writer: Writer<'_>,
        event: &Event<'_>,
    ) -> fmt::Result {
        let Some(id) = RequestId::current() else {
            return self.line.format_event(context, writer, event);
        };
        let mut line = String::new();
        self.line.format_event(context, Writer::new(&mut line), event)?;
        let (line, id) = (line.trim_end_matches('\n'), id.as_str());
        match line.strip_suffix('}').filter(|_| self.is_json) {
            // The characters of an id need no escapes.
            Some(open) => writeln!(writer, "{open},\"request_id\":\"{id}\"}}"),
            None => writeln!(writer, "{line} request_id={id}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::HeaderMap;
    use std::io;
    use std::sync::{Arc, Mutex};
    use tracing::instrument::WithSubscriber;
    use tracing_subscriber::fmt::MakeWriter;

    #[derive(Clone, Default)]
    struct Lines(Arc<Mutex<Vec<u8>>>);

    impl io::Write for Lines {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    impl<'a> MakeWriter<'a> for Lines {
        type Writer = Self;

        fn make_writer(&'a self) -> Self {
            self.clone()
        }
    }

    async fn two_lines() {
        tracing::warn!("nobody asked");
        let id = HeaderMap::from_iter([("x-request-id".parse().unwrap(), "my.id-1".parse().unwrap())]);
        RequestId::of(&id).scope(async { tracing::warn!(reason = "}", "somebody asked") }).await;
    }

    #[tokio::test]
    async fn a_line_of_a_request_names_it() {
        let lines = Lines::default();
        let log = tracing_subscriber::fmt().with_writer(lines.clone()).with_ansi(false);
        let log = log.map_event_format(|line| WithRequestId { line, is_json: false });
        two_lines().with_subscriber(log.finish()).await;
        let text = String::from_utf8(lines.0.lock().unwrap().clone()).unwrap();
        let (nobody, somebody) = text.split_once('\n').unwrap();
        assert!(nobody.contains("nobody asked") && !nobody.contains("request_id"), "{text}");
        assert!(somebody.ends_with(" request_id=my.id-1\n"), "{text}");
    }

    #[tokio::test]
    async fn a_line_for_machines_has_it_as_a_field() {
        let lines = Lines::default();
        let log = tracing_subscriber::fmt().with_writer(lines.clone()).json().flatten_event(true);
        let log = log.map_event_format(|line| WithRequestId { line, is_json: true });
        two_lines().with_subscriber(log.finish()).await;
        let text = String::from_utf8(lines.0.lock().unwrap().clone()).unwrap();
        let read: Vec<serde_json::Value> =
            text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        assert_eq!(read[0].get("request_id"), None);
        assert_eq!((&read[1]["request_id"], &read[1]["reason"]), (&"my.id-1".into(), &"}".into()));
    }
}
