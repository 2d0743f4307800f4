//! One accepted connection, with the time-outs that the layers above do not have.

use std::{
    io,
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use socket2::{SockRef, TcpKeepalive};
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::TcpStream,
    sync::OwnedSemaphorePermit,
    time::{Sleep, sleep},
};
use tokio_io_timeout::TimeoutStream;

use crate::{config::ApiConfig, edge::Breaker};

/// How an HTTP/2 connection begins. Until it is clear that one does not, nobody watches the time.
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// A TCP connection and its place among those that are allowed.
#[derive(Debug)]
pub(super) struct Socket {
    stream: Pin<Box<TimeoutStream<TcpStream>>>,
    opening: Option<Opening>,
    breaker: Breaker,
    _place: OwnedSemaphorePermit,
}

/// A connection that has not said yet what it speaks.
#[derive(Debug)]
struct Opening {
    deadline: Pin<Box<Sleep>>,
    /// How many bytes of [`PREFACE`] have come.
    matched: usize,
}

impl Socket {
    /// Prepares a connection.
    ///
    /// Small frames go out at once. A peer that takes nothing is cut; one that vanished is found
    /// by the kernel, since what is written to it seems to go well for a quarter of an hour. Once
    /// `breaker` is tripped, the connection ends with a reset.
    pub(super) fn new(
        stream: TcpStream,
        place: OwnedSemaphorePermit,
        config: &ApiConfig,
        breaker: Breaker,
    ) -> io::Result<Self> {
        stream.set_nodelay(true)?;
        let probe = config.write_timeout.div_f32(3.0).max(Duration::from_secs(1));
        let socket = SockRef::from(&stream);
        socket.set_tcp_keepalive(&TcpKeepalive::new().with_time(probe).with_interval(probe))?;
        #[cfg(target_os = "linux")]
        socket.set_tcp_user_timeout(Some(config.write_timeout))?;
        let mut stream = TimeoutStream::new(stream);
        stream.set_write_timeout(Some(config.write_timeout));
        let deadline = Box::pin(sleep(config.head_timeout));
        let opening = Some(Opening { deadline, matched: 0 });
        Ok(Self { stream: Box::pin(stream), opening, breaker, _place: place })
    }

    /// Notes what has come while it may still become an HTTP/2 connection.
    fn note(&mut self, new: &[u8]) {
        let Some(opening) = &mut self.opening else { return };
        let rest = PREFACE.get(opening.matched..).unwrap_or_default();
        let begins = rest.starts_with(new);
        opening.matched += new.len();
        if !begins || PREFACE.len() <= opening.matched {
            self.opening = None;
        }
    }
}

impl Drop for Socket {
    fn drop(&mut self) {
        if self.breaker.is_tripped()
            && let Err(error) =
                SockRef::from((*self.stream).get_ref()).set_linger(Some(Duration::ZERO))
        {
            tracing::warn!(%error, "an answer that broke off may look whole");
        }
    }
}

impl AsyncRead for Socket {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        let read = self.stream.as_mut().poll_read(context, buffer);
        match (&read, &mut self.opening) {
            (Poll::Pending, Some(opening)) => {
                if opening.deadline.as_mut().poll(context).is_ready() {
                    return Poll::Ready(Err(io::ErrorKind::TimedOut.into()));
                }
            }
            (Poll::Ready(Ok(())), Some(_)) => {
                self.note(buffer.filled().get(before..).unwrap_or_default());
            }
            (Poll::Pending | Poll::Ready(_), _) => {}
        }
        read
    }
}

impl AsyncWrite for Socket {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.stream.as_mut().poll_write(context, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.stream.as_mut().poll_write_vectored(context, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.stream.as_mut().poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.stream.as_mut().poll_shutdown(context)
    }
}

#[cfg(test)]
mod tests {
    use std::{sync::Arc, time::Duration};

    use socket2::SockRef;
    use tokio::{
        net::{TcpListener, TcpStream},
        sync::Semaphore,
    };

    use super::Socket;
    use crate::{config::ApiConfig, edge::Breaker};

    #[tokio::test]
    async fn small_frames_go_out_at_once_and_vanished_peers_are_found() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let _client = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        let (stream, _) = listener.accept().await.unwrap();
        assert!(!stream.nodelay().unwrap());
        let place = Arc::new(Semaphore::new(1)).acquire_owned().await.unwrap();
        let socket = Socket::new(stream, place, &ApiConfig::default(), Breaker::default()).unwrap();
        let tcp = SockRef::from((*socket.stream).get_ref());
        assert!(tcp.tcp_nodelay().unwrap());
        assert!(tcp.keepalive().unwrap());
        assert_eq!(tcp.tcp_keepalive_time().unwrap(), Duration::from_secs(10));
        #[cfg(target_os = "linux")]
        assert_eq!(tcp.tcp_user_timeout().unwrap(), Some(Duration::from_secs(30)));
    }
}
