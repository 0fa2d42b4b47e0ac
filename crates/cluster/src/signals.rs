//! The signals by which a user or a supervisor asks the process to end.

use std::io;

use futures::Stream;

/// SIGINT, SIGTERM and SIGHUP as they come (Ctrl-C where there are no signals). From now on they end nothing by
/// themselves.
///
/// # Errors
/// The operating system refuses to hand them over.
#[cfg(unix)]
pub fn interrupts() -> io::Result<impl Stream<Item = ()> + Unpin> {
    use std::task::Poll;

    use tokio::signal::unix::{SignalKind, signal};

    let kinds = [SignalKind::interrupt(), SignalKind::terminate(), SignalKind::hangup()];
    let mut signals = kinds.into_iter().map(signal).collect::<io::Result<Vec<_>>>()?;
    Ok(futures::stream::poll_fn(move |context| {
        let came = signals.iter_mut().any(|signal| signal.poll_recv(context).is_ready());
        if came { Poll::Ready(Some(())) } else { Poll::Pending }
    }))
}

/// SIGINT, SIGTERM and SIGHUP as they come (Ctrl-C where there are no signals).
///
/// # Errors
/// None here.
#[cfg(not(unix))]
pub fn interrupts() -> io::Result<impl Stream<Item = ()> + Unpin> {
    Ok(Box::pin(futures::stream::unfold((), async |()| tokio::signal::ctrl_c().await.ok().map(|()| ((), ())))))
}
