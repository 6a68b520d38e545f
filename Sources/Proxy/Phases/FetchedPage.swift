// Pages that another service has (`errors: { 502: { service: … } }`): one request for the page, made by the
// exchange that has failed, or whose endpoint's answer is not wanted.
//
// It takes the road of every attempt (select, forward, respond), without the client's request: that one is over,
// and what is left of its body is not read. Whatever keeps the page away (the service cannot be reached, is too
// slow, says anything but 200) leaves the error as it was, in plain text: a page is asked for once, and there
// is none for the failure of a page. The record stays that of the error: its reason, its service, its attempts.

import WeirBalancing
import WeirCompression
import WeirHTTP1
import WeirHTTPModel
import Reactor
import WeirResilience
import WeirRouting

/// What an error was, while its page is fetched. Lives in a pooled buffer; behind it the fields of the error, as
/// lines, and the target of the page.
struct PageFetch {
    /// In whose place the page stands.
    let status: UInt16
    /// Whose rules the response goes through.
    let route: Lent<RoutePlan>?

    // What the record says.
    let service: Lent<ServicePlan>?
    let endpoint: Lent<Endpoint>?
    let serviceID: Int
    let attempts: UInt8
    let connectUs: UInt32
    let isReused: Bool

    let linesCount: Int
    var targetCount = 0

    /// Most bytes of a target.
    static let targetBytesMax = 8 << 10
    /// When another attempt at a page is made: as on routes that say nothing.
    static let retry = RetryPolicy()
}

extension UnsafeMutablePointer where Pointee == Buffer {
    var fetch: UnsafeMutablePointer<PageFetch> {
        UnsafeMutableRawPointer(base).assumingMemoryBound(to: PageFetch.self)
    }
    private var text: UnsafeMutablePointer<UInt8> { base + MemoryLayout<PageFetch>.stride }
    var lines: UnsafeBufferPointer<UInt8> {
        UnsafeBufferPointer(start: text, count: fetch.pointee.linesCount)
    }
    var target: UnsafeBufferPointer<UInt8> {
        UnsafeBufferPointer(start: text + fetch.pointee.linesCount, count: fetch.pointee.targetCount)
    }
}

extension Worker {
    /// Has a service answer in place of an error, whose answer stands in `writer` up to the type of its body.
    /// False: it cannot, and nothing was written.
    ///
    /// - Parameter start: where the fields of the error begin.
    func fetchPage(
        _ exchange: ExchangePointer, _ page: ServicePage, _ status: UInt16, _ reason: Reason,
        from start: Int, _ writer: inout ByteWriter
    ) -> Bool {
        // What follows an upgrade or CONNECT is no request, and there is one page for one error.
        guard exchange.pointee.pageFetch == nil, exchange.pointee.upgrade == .none,
            exchange.pointee.request.method != .connect, !writer.overflowed, let view = view(exchange),
            let service = exchange.pointee.lease.pointee.snapshot._withUnsafeGuaranteedRef({
                $0.lentServices[page.serviceID]
            })
        else { return false }
        let buffer = keepError(exchange, status, lines: writer.base + start, writer.count - start)
        guard writeTarget(of: page, exchange, view, reason, buffer) else {
            buffers.give(buffer)
            return false
        }
        exchange.pointee.pageFetch = buffer
        if let plan = service.object.files {
            if answerFile(exchange, from: plan, page.serviceID, view, buffer.target, status, &writer) {
                return true
            }
            exchange.pointee.pageFetch = nil
            buffers.give(buffer)
            return false
        }
        endRequest(exchange)
        // Nothing is answered yet.
        exchange.pointee.isLocal = false
        exchange.pointee.status = 0
        exchange.pointee.headUs = 0
        exchange.pointee.judgedStatusMin = 0
        exchange.pointee.lentRoute = nil
        exchange.pointee.lentService = service
        exchange.pointee.serviceID = page.serviceID
        // The route's deadlines were for the application; the total one may have passed.
        exchange.pointee.headTimeoutMs = page.timeoutMs
        exchange.pointee.idleTimeoutMs = page.timeoutMs
        setTotalDeadline(exchange, afterMs: page.timeoutMs)
        run(exchange, from: .select)
        return true
    }

    /// Notes what the error was; its fields stand as lines at `lines`.
    private func keepError(
        _ exchange: ExchangePointer, _ status: UInt16, lines: UnsafePointer<UInt8>, _ count: Int
    ) -> BufferPointer {
        let buffer = buffers.take(MemoryLayout<PageFetch>.stride + count + PageFetch.targetBytesMax)
        buffer.fetch.initialize(
            to: PageFetch(
                status: status, route: exchange.pointee.lentRoute, service: exchange.pointee.lentService,
                endpoint: exchange.attempt.pointee.lentEndpoint, serviceID: exchange.pointee.serviceID,
                attempts: exchange.pointee.attempts, connectUs: exchange.attempt.pointee.account.connectUs,
                isReused: exchange.attempt.pointee.isReused, linesCount: count))
        buffer.pointee.end = UInt32(MemoryLayout<PageFetch>.stride)
        buffer.append(lines, count)
        return buffer
    }

    /// Writes what the service is asked for. False: values make it too long, or lead out of its folder.
    private func writeTarget(
        of page: ServicePage, _ exchange: ExchangePointer, _ view: RequestView, _ reason: Reason,
        _ buffer: BufferPointer
    ) -> Bool {
        let status = buffer.fetch.pointee.status
        var writer = ByteWriter(buffer.writable, capacity: PageFetch.targetBytesMax)
        withUnsafePointer(to: ErrorView(status: status, phrase: reasonPhrase(status), reason: reason.name)) {
            render(page.path, exchange, view, &writer, error: $0)
        }
        buffer.fetch.pointee.targetCount = writer.count
        return !writer.overflowed && UpstreamTarget.judge(from: 0, writer) != .dotSegment
    }

    /// The client's request is over, and the one for the page takes its place: with GET, or HEAD, and no body.
    private func endRequest(_ exchange: ExchangePointer) {
        let client = exchange.pointee.client
        askNothing(of: client, exchange)
        // Nobody waits for the rest of the body, as behind every early answer; `beginAnswer` has seen to the close.
        if !exchange.pointee.requestBody.isDone { client.pointee.mustLinger = true }
        if let held = exchange.pointee.held { buffers.give(held) }
        exchange.pointee.held = nil
        if let trailers = exchange.pointee.requestBody.trailers { buffers.give(trailers) }
        var none = BodyReader()
        none.countMax = exchange.pointee.requestBody.countMax
        exchange.pointee.requestBody = none
        if exchange.attempt.pointee.requestPipe.exists { pipes.give(exchange.attempt.pointee.requestPipe) }
        exchange.attempt.pointee.requestPipe = .none
        dropRequestStages(exchange)
        exchange.pointee.isDecoded = false
        exchange.pointee.streams = false

        if exchange.pointee.request.method != .head { exchange.pointee.request.method = .get }
        exchange.pointee.request.framing = .none
        exchange.pointee.request.expectsContinue = false
        exchange.pointee.request.acceptsTrailers = false
        exchange.pointee.callDeadlineNs = 0

        dropResponseStages(exchange)
        if let trailers = exchange.pointee.responseBody.trailers { buffers.give(trailers) }
        exchange.pointee.responseBody = BodyReader()
        exchange.pointee.attempts = 0
        exchange.pointee.excluded = Excluded()
        exchange.pointee.isReplayable = true
        exchange.attempt.pointee.needsFreshConnection = false
        exchange.attempt.pointee.discardsRequestBody = false
        exchange.attempt.pointee.requestStarted = false
        exchange.attempt.pointee.requestSentWhole = false
        exchange.attempt.pointee.requestIsBlocked = false
        exchange.attempt.pointee.writeErrno = 0
        exchange.attempt.pointee.interimCount = 0
    }

    /// The service has answered: its 200 becomes the error's page and goes on as every response does; anything
    /// else is none.
    func takePage(
        _ exchange: ExchangePointer, _ upstream: UpstreamPointer, _ response: ResponseView, _ count: Int,
        _ fetch: BufferPointer
    ) {
        let head = response.head
        let behind = response.body(of: count)
        guard head.status == 200 else {
            discardAnswer(exchange, upstream, response, count)
            giveUpPage(exchange, fetch)
            return
        }
        // A field is written with a space and CR LF, which it need not have come with.
        let room =
            Int(head.byteCount) + 2 * Int(head.fieldCount) + fetch.lines.count + Self.statusLineBytesMax
        let buffer = buffers.take(room + behind.count)
        var writer = ByteWriter(buffer.base, capacity: room)
        let page = writePageHead(exchange, response, fetch, &writer)
        buffer.pointee.end = UInt32(writer.count)
        buffer.append(behind.bytes, behind.count)
        exchange.pointee.lentRoute = fetch.fetch.pointee.route
        timers.disarm(exchange.pointee.totalTimer)
        exchange.pointee.judgedStatusMin = .max
        beginResponse(
            exchange.attempt, upstream, ResponseView(head: page, fields: fieldScratch, bytes: buffer.base),
            buffer.count)
        buffers.give(buffer)
    }

    /// Of "HTTP/1.1 431 Request Header Fields Too Large", with room for a writer that asks for more than it uses.
    private static let statusLineBytesMax = 80

    /// Writes the head of a page, and describes it as the parser would have: in the result and `fieldScratch`, which
    /// may be where the answer's own fields stand.
    private func writePageHead(
        _ exchange: ExchangePointer, _ response: ResponseView, _ fetch: BufferPointer,
        _ writer: inout ByteWriter
    ) -> ResponseHead {
        var page = response.head
        page.status = fetch.fetch.pointee.status
        writer.append("HTTP/1.1 ")
        writer.append(decimal: UInt64(page.status))
        writer.append(" ")
        let phrase = reasonPhrase(page.status)
        page.reason = ByteRange(writer.count, phrase.utf8CodeUnitCount)
        writer.append(phrase)
        writer.append("\r\n")
        page.fieldCount = 0
        for i in 0..<min(Int(response.head.fieldCount), Self.fieldsMax) {
            var field = response.fields[i]
            if field.id == .cacheControl,
                CompressionRule.isLeftAlone(by: field.value.bytes(in: response.bytes))
            {
                exchange.pointee.mayTransform = false
            }
            guard PageFields.isSent(field, response.bytes) else { continue }
            let start = writer.count
            writer.appendField(field, response.bytes)
            field.nameOffset = UInt32(start)
            field.valueOffset = UInt32(start) + UInt32(field.nameCount) + 2
            fieldScratch[Int(page.fieldCount)] = field
            page.fieldCount += 1
        }
        var lines = fetch.lines[...]
        while let end = lines.firstIndex(of: 0x0a), let colon = lines.firstIndex(of: 0x3a),
            Int(page.fieldCount) < Self.fieldsMax
        {
            let line = UnsafeBufferPointer(rebasing: lines[...end])
            let nameCount = colon - lines.startIndex
            fieldScratch[Int(page.fieldCount)] = Field(
                nameOffset: UInt32(writer.count), nameCount: UInt16(nameCount),
                valueOffset: UInt32(writer.count + nameCount + 2),
                valueCount: UInt32(line.count - nameCount - 4), id: .other)
            page.fieldCount += 1
            writer.append(line)
            lines = lines[(end + 1)...]
        }
        writer.append("\r\n")
        page.byteCount = UInt32(writer.count)
        return page
    }

    /// There is no page to be had: the error is answered as it would be without one.
    func giveUpPage(_ exchange: ExchangePointer, _ fetch: BufferPointer) {
        let status = fetch.fetch.pointee.status
        exchange.pointee.lentRoute = fetch.fetch.pointee.route
        if exchange.pointee.totalTimer >= 0 { timers.disarm(exchange.pointee.totalTimer) }
        var writer = ByteWriter(output, capacity: outputBytes)
        beginAnswer(exchange, status, &writer)
        writer.append(fetch.lines)
        endAnswer(exchange, status, inWordsOf: exchange.pointee.failure, &writer)
    }

    /// The exchange ends, and its record is that of the error.
    func endFetch(_ exchange: ExchangePointer, _ buffer: BufferPointer) {
        let fetch = buffer.fetch.pointee
        exchange.pointee.lentRoute = fetch.route
        exchange.pointee.lentService = fetch.service
        exchange.attempt.pointee.lentEndpoint = fetch.endpoint
        exchange.pointee.serviceID = fetch.serviceID
        exchange.pointee.attempts = fetch.attempts
        exchange.attempt.pointee.account.connectUs = fetch.connectUs
        exchange.attempt.pointee.isReused = fetch.isReused
        exchange.pointee.pageFetch = nil
        buffers.give(buffer)
    }
}
