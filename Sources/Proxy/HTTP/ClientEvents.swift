// Events of a client's connection: which step is next, and how it goes on when an exchange is over.
//
// What the steps decide they only note (State/Verdict.swift, `Parting`); every event ends here by doing it.

import Glibc
import Reactor
import WeirResilience
import Telemetry

extension Worker {
    func clientReady(_ client: ClientPointer, _ readiness: Readiness) {
        if client.pointee.state == .closed { return }
        if !readiness.isDisjoint(with: [.readHangUp, .hangUp, .error]) {
            client.pointee.peerEnded = true
            client.pointee.canRead = true
            client.pointee.transport.becameReadable(hangUp: true)
        } else if readiness.contains(.readable) {
            client.pointee.canRead = true
            client.pointee.transport.becameReadable(hangUp: false)
        }
        if readiness.contains(.writable) {
            if client.pointee.transport.isBlocked || client.pointee.exchange != nil { clientWritable(client) }
            if client.pointee.state == .handshake { serve(client) }
        }
        if client.pointee.canRead { serve(client) }
    }

    /// Pipelined requests served in one go.
    private static let requestsPerTurnMax: UInt32 = 32

    /// Serves a connection as far as its input goes. A loop, not a recursion: a finished exchange
    /// returns here for the next pipelined request.
    func serve(_ client: ClientPointer) {
        if client.pointee.isServing { return }
        client.pointee.isServing = true
        var goOn = true
        let firstRequest = client.pointee.requests
        while goOn {
            if client.pointee.requests &- firstRequest >= Self.requestsPerTurnMax {
                // Others' turn; the rest of the pipeline waits for the next round of the loop.
                goOnNextTurn(Token(kind: TokenKind.client, handle: client.pointee.handle))
                break
            }
            switch client.pointee.state {
            case .proxyHeader:
                goOn = readProxyHeader(client)
            case .handshake:
                goOn = handshake(client)
            case .session:
                goOn = serveSession(client)
            case .idle, .head:
                goOn = readHead(client)
            case .exchange:
                serveExchange(client)
                goOn = false
            case .lingering:
                linger(client)
                goOn = false
            case .closed:
                goOn = false
            }
            if let exchange = client.pointee.exchange {
                if exchange.pointee.verdict != .none {
                    conclude(exchange)
                    goOn = client.pointee.exchange != exchange && client.pointee.state != .closed
                }
            } else if client.pointee.parting != .none {
                carryOn(client)
            }
        }
        client.pointee.isServing = false
    }

    /// Does what was decided about an exchange, and what follows from its end for the connection. Every event
    /// of an exchange ends here.
    @inline(__always)
    func conclude(_ exchange: ExchangePointer) {
        if exchange.pointee.verdict == .none { return }
        settle(exchange)
        if exchange.pointee.isOver { carryOn(exchange.pointee.client) }
    }

    /// Goes on with a connection as it was left.
    @inline(__always)
    func carryOn(_ client: ClientPointer) {
        let parting = client.pointee.parting
        client.pointee.parting = .none
        switch parting {
        case .none: break
        case .next: awaitRequest(client)
        case .close: endGracefully(client)
        case .breakOff: breakOff(client, cut: false)
        case .cut: breakOff(client, cut: true)
        case .gone: clientGone(client)
        case .carry: beginCarrying(client)
        }
    }

    /// The connection is between two requests.
    @inline(__always)
    private func awaitRequest(_ client: ClientPointer) {
        guard let idleMs = lentPlan(client)?({ $0.idleTimeoutMs }) else {
            endGracefully(client)
            return
        }
        client.pointee.state = .idle
        setDeadline(client, .idle, afterMs: idleMs)
        if client.pointee.input != nil || client.pointee.canRead { serve(client) }
    }

    /// The client's direction has ended or broken, and no exchange is under way.
    private func clientGone(_ client: ClientPointer) {
        if client.pointee.state == .head, client.pointee.input != nil {
            rejectConnection(
                client,
                Failure(.clientClosedDuringRequest, phase: .read, errno: client.pointee.readErrno))
            if let exchange = client.pointee.exchange { conclude(exchange) }
        } else if client.pointee.state == .lingering {
            close(client)
        } else {
            breakOff(client, cut: false)
        }
    }

    /// Input while an exchange is under way: its body, or the client leaving.
    private func serveExchange(_ client: ClientPointer) {
        guard let exchange = client.pointee.exchange else { return }
        // Answered by us, and the answer waits to be taken: what still comes is drained after it.
        if exchange.pointee.isLocal && !client.pointee.peerEnded { return }
        if !exchange.pointee.requestBody.isDone && !exchange.pointee.isLocal {
            clientBodyReady(exchange)
        } else if client.pointee.peerEnded && client.pointee.canRead {
            // The request is complete and the client has closed: nobody waits for the response.
            // A reset shows as an error on the socket.
            client.pointee.canRead = false
            exchange.clientEnded(errno: client.pointee.transport.pendingError())
        }
    }

    // MARK: output

    /// The client takes bytes again.
    private func clientWritable(_ client: ClientPointer) {
        if client.pointee.transport.isBlocked {
            let error = client.pointee.transport.flush(pool: &buffers, nowMs: nowMs)
            if error != 0 {
                broke(client, errno: error)
                if let exchange = client.pointee.exchange { conclude(exchange) } else { carryOn(client) }
                return
            }
            if let exchange = client.pointee.exchange { touch(client, exchange) }
            if client.pointee.transport.isBlocked { return }
        }
        guard let exchange = client.pointee.exchange else {
            if client.pointee.state == .lingering { finishLingeringOutput(client) }
            client.pointee.session?.mark()
            return
        }
        outputDrained(exchange)
        conclude(exchange)
    }

    // MARK: deadlines

    func clientDeadlinePassed(_ client: ClientPointer) {
        let deadline = client.pointee.deadline
        if let session = client.pointee.session {
            sessionDeadlinePassed(client, session)
            return
        }
        client.pointee.deadline = .none
        switch deadline {
        case .none:
            break
        case .handshake:
            handshakeFailed(client, .tlsHandshakeTimeout)
        case .idle:
            close(client)
        case .linger:
            lingerLonger(client)
        case .head:
            headIsLate(client)
        case .body:
            if let exchange = client.pointee.exchange { bodyDeadlinePassed(exchange) }
        case .write:
            if let timeoutMs = client.pointee.exchange?.pointee.listener.writeTimeoutMs,
                client.pointee.taking.isTaking(
                    client.pointee.transport.taken, nowMs: nowMs, timeoutMs: timeoutMs)
            {
                setDeadline(client, .write, afterMs: TakingClock.pauseMs(timeoutMs: timeoutMs))
            } else {
                giveUp(client)
            }
        }
        if let exchange = client.pointee.exchange { conclude(exchange) }
    }

    private func headIsLate(_ client: ClientPointer) {
        if client.pointee.state == .proxyHeader || client.pointee.input == nil {
            // Not a byte of a request: nothing to answer.
            close(client)
        } else if let plan = listenerPlan(client), let exchange = openExchange(client, plan) {
            client.pointee.closeAfterResponse = true
            client.pointee.mustLinger = true
            exchange.fail(Failure(.requestHeadTimeout, phase: .read))
        } else {
            close(client)
        }
    }

    /// The client does not take its response; on a stream the code says that the fault is its own.
    func giveUp(_ client: ClientPointer) {
        if let stream = client.pointee.transport.stream {
            stream.pointee.session.session { $0.reset(stream.pointee.id, .tooSlow) }
        }
        if let exchange = client.pointee.exchange {
            exchange.end(Failure(.clientTooSlow, phase: .respond))
            conclude(exchange)
        } else {
            close(client)
        }
    }

    // MARK: the end

    /// Ends the connection so that the client can still read what was sent.
    func endGracefully(_ client: ClientPointer) {
        if let session = client.pointee.session, isAwaited(client) {
            client.pointee.session = nil
            endSession(session)
        } else if client.pointee.session != nil {
            endClient(client)
            return
        }
        closeGracefully(client)
    }

    /// Ends a connection on which something failed.
    ///
    /// - Parameter cut: a response was under way: a reset, unless an alert says as much.
    func breakOff(_ client: ClientPointer, cut: Bool) {
        if client.pointee.transport.isTold {
            if let session = client.pointee.session {
                client.pointee.session = nil
                endSession(session)
            }
            closeTold(client)
        } else {
            endClient(client, reset: cut)
        }
    }

    /// Closes the connection, with the exchange or the session that is under way on it.
    func endClient(_ client: ClientPointer, reset: Bool = false) {
        guard client.pointee.state != .closed else { return }
        if let exchange = client.pointee.exchange {
            // Only a stop or a bound closes a connection from under its exchange.
            exchange.end(Failure(.drainDeadline, phase: exchange.pointee.phase))
            conclude(exchange)
            if client.pointee.state == .closed { return }
        }
        if let session = client.pointee.session {
            client.pointee.session = nil
            endSession(session)
        }
        close(client, reset: reset)
    }
}
