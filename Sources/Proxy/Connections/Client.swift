// A client connection between its events: which state it is in, which deadline runs, how it ends.

import Glibc
import Reactor
import Resilience
import Telemetry

extension Worker {
    /// The listener's current plan; nil when a reload removed it.
    func listenerPlan(_ client: ClientPointer) -> ListenerPlan? { lentPlan(client)?.object }

    @inline(__always)
    func lentPlan(_ client: ClientPointer) -> Lent<ListenerPlan>? {
        snapshot.lentListeners[client.pointee.listenerID] ?? retiredPlan(client.pointee.listenerID)
    }

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
                goOn = serveExchange(client)
            case .lingering:
                goOn = linger(client)
            case .closed:
                goOn = false
            }
        }
        client.pointee.isServing = false
    }

    /// Input while an exchange is under way: its body, or the client leaving.
    private func serveExchange(_ client: ClientPointer) -> Bool {
        guard let exchange = client.pointee.exchange else { return false }
        // Answered by us, and the answer waits to be taken: what still comes is drained after it.
        if exchange.pointee.isLocal && !client.pointee.peerEnded { return false }
        if !exchange.pointee.requestBody.isDone && !exchange.pointee.isLocal {
            clientBodyReady(exchange)
            // Another round only when the exchange has ended and left something to serve.
            return client.pointee.exchange != exchange && client.pointee.state != .closed
        }
        if client.pointee.peerEnded && client.pointee.canRead {
            // The request is complete and the client has closed: nobody waits for the response.
            // A reset shows as an error on the socket.
            client.pointee.canRead = false
            clientEnded(client, errno: client.pointee.transport.pendingError())
        }
        return false
    }

    /// The client's direction has ended (errno 0) or broken.
    func clientEnded(_ client: ClientPointer, errno: Int32) {
        guard let exchange = client.pointee.exchange else {
            if client.pointee.state == .head, client.pointee.input != nil {
                rejectConnection(client, Failure(.clientClosedDuringRequest, phase: .read, errno: errno))
            } else if client.pointee.state == .lingering {
                close(client)
            } else {
                breakOff(client, cut: false)
            }
            return
        }
        let reason: Reason =
            exchange.pointee.responseStarted ? .clientClosedDuringResponse : .clientClosedDuringRequest
        end(exchange, Failure(reason, phase: exchange.pointee.phase, errno: errno))
    }

    // MARK: output

    /// The client takes bytes again.
    private func clientWritable(_ client: ClientPointer) {
        if client.pointee.transport.isBlocked {
            let error = client.pointee.transport.flush(pool: &buffers, nowMs: nowMs)
            if error != 0 {
                clientEnded(client, errno: error)
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
    }

    /// Sends bytes of our own making to the client, outside the response's body. False: the client is gone.
    func sendToClient(_ client: ClientPointer, _ bytes: UnsafeMutablePointer<UInt8>, _ count: Int) -> Bool {
        let error = client.pointee.transport.send(bytes, count, pool: &buffers, nowMs: nowMs)
        if error == 0 { return true }
        clientEnded(client, errno: error)
        return false
    }

    // MARK: deadlines

    @inline(__always)
    func setDeadline(_ client: ClientPointer, _ deadline: ClientDeadline, afterMs: UInt64) {
        client.pointee.deadline = deadline
        timers.arm(client.pointee.timer, atMs: nowMs &+ afterMs)
    }

    /// Something waits for the client, or it has been seen taking.
    @inline(__always)
    func setWriteDeadline(_ client: ClientPointer, timeoutMs: UInt64) {
        client.pointee.taking.begin(at: nowMs)
        setDeadline(client, .write, afterMs: TakingClock.pauseMs(timeoutMs: timeoutMs))
    }

    @inline(__always)
    func clearDeadline(_ client: ClientPointer) {
        if client.pointee.deadline == .none { return }
        client.pointee.deadline = .none
        timers.disarm(client.pointee.timer)
    }

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
            if let leftMs = lingerLeftMs(client) {
                setDeadline(client, .linger, afterMs: leftMs)
            } else {
                close(client)
            }
        case .head:
            if client.pointee.state == .proxyHeader || client.pointee.input == nil {
                // Not a byte of a request: nothing to answer.
                close(client)
            } else if let plan = listenerPlan(client), let exchange = openExchange(client, plan) {
                client.pointee.closeAfterResponse = true
                client.pointee.mustLinger = true
                fail(exchange, Failure(.requestHeadTimeout, phase: .read))
            } else {
                close(client)
            }
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
    }

    /// The client does not take its response; on a stream the code says that the fault is its own.
    func giveUp(_ client: ClientPointer) {
        if let stream = client.pointee.transport.stream {
            stream.pointee.session.pointee.session.reset(stream.pointee.id, .enhanceYourCalm)
        }
        if let exchange = client.pointee.exchange {
            end(exchange, Failure(.clientTooSlow, phase: .respond))
        } else {
            close(client)
        }
    }

    // MARK: the end

    /// What a client may go on sending behind its answer. Clients look at an answer between two writes, and some
    /// only when all of their body is out: enough for what the buffers of a socket hold, and for a large form.
    private static let lingerMs: UInt64 = 2_000
    private static let lingerBytesMax = 16 << 20

    /// Ends the connection so that the client can still read what was sent: when it may be sending, closing at
    /// once would answer its bytes with a reset that can overtake our response (RFC 9112 §9.6). A stream is no
    /// different: many clients take RST_STREAM right behind the answer for the failure of both (RFC 9113 §8.1).
    func closeGracefully(_ client: ClientPointer) {
        let isAwaited =
            client.pointee.transport.stream.map { $0.mayCarryMore }
            ?? (client.pointee.transport.isBlocked || client.pointee.mustLinger || client.pointee.input != nil
                || client.pointee.canRead)
        if !isAwaited {
            close(client)
            return
        }
        if let session = client.pointee.session {
            client.pointee.session = nil
            endSession(session)
        }
        client.pointee.state = .lingering
        if let input = client.pointee.input {
            buffers.give(input)
            client.pointee.input = nil
        }
        setDeadline(client, .linger, afterMs: Self.lingerMs)
        if !client.pointee.transport.isBlocked { finishLingeringOutput(client) }
        if client.pointee.isServing && client.pointee.canRead {
            // Whoever is on the stack may have taken this connection for drained.
            goOnNextTurn(Token(kind: TokenKind.client, handle: client.pointee.handle))
        } else {
            serve(client)
        }
    }

    private func finishLingeringOutput(_ client: ClientPointer) {
        client.pointee.transport.shutdownWrite(pool: &buffers)
    }

    /// Throws away what the client still sends. False: wait.
    private func linger(_ client: ClientPointer) -> Bool {
        var taken = 0
        while client.pointee.state == .lingering && client.pointee.canRead {
            if taken >= Self.turnBytesMax {
                goOnNextTurn(Token(kind: TokenKind.client, handle: client.pointee.handle))
                break
            }
            let received = client.pointee.transport.receiveUnread(input, Self.inputBytes, pool: &buffers)
            if received == -Int(EINTR) { continue }
            if received <= 0 {
                client.pointee.canRead = false
                if received != -Int(EAGAIN) { close(client) }
                break
            }
            taken += received
            client.pointee.lingerBytes += received
            if client.pointee.lingerBytes > Self.lingerBytesMax { close(client) }
        }
        return false
    }

    /// How long a client is still waited for; nil: no longer. The time of a stream begins when its answer has
    /// left: until then the client's windows may have held it up, which has a deadline of its own (`armSession`).
    private func lingerLeftMs(_ client: ClientPointer) -> UInt64? {
        guard let stream = client.pointee.transport.stream else { return nil }
        let endMs =
            (stream.pointee.session.pointee.session.endSentMs(stream.pointee.id) ?? nowMs) &+ Self.lingerMs
        return endMs > nowMs ? endMs &- nowMs : nil
    }

    /// Ends a connection on which something failed.
    ///
    /// - Parameter cut: a response was under way: a reset, unless an alert says as much.
    func breakOff(_ client: ClientPointer, cut: Bool) {
        if client.pointee.transport.isTold {
            closeTold(client)
        } else {
            close(client, reset: cut)
        }
    }

    /// Ends a connection whose client was told why, and is given the time to read it. Behind the alert of TLS that
    /// failed nothing can be sent; as no close_notify follows it, nothing is taken for complete.
    func closeTold(_ client: ClientPointer) {
        if client.pointee.transport.isTold { client.pointee.transport.forgetOutput(pool: &buffers) }
        client.pointee.mustLinger = true
        // What had come by then is not waited for: no event will tell of it.
        client.pointee.canRead = true
        closeGracefully(client)
    }

    /// Closes the connection. Its exchange, if any, must have ended.
    func close(_ client: ClientPointer, reset: Bool = false) {
        guard client.pointee.state != .closed else { return }
        if let exchange = client.pointee.exchange {
            // Only a stop or a bound closes a connection from under its exchange.
            end(exchange, Failure(.drainDeadline, phase: exchange.pointee.phase))
            if client.pointee.state == .closed { return }
        }
        if let session = client.pointee.session {
            client.pointee.session = nil
            endSession(session)
        }
        client.pointee.state = .closed
        if let input = client.pointee.input { buffers.give(input) }
        client.pointee.input = nil
        timers.remove(client.pointee.timer)
        client.pointee.transport.close(reset: reset, pool: &buffers)
        if let stream = client.pointee.transport.stream {
            graveyard.streams.append(stream.pointee.handle)
        } else {
            status.connections.subtract(1, ordering: .relaxed)
            client.pointee.metrics._withUnsafeGuaranteedRef { $0.cell(worker: index).connectionEnded() }
        }
        client.pointee.metrics.release()
        graveyard.clients.append(client.pointee.handle)
    }
}
