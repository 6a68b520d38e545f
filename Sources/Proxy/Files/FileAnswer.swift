// Answers from a folder of files: which file a request names, and the head that goes with it.
//
// Everything that can be decided without the disk is decided in Files. What blocks is opening a file
// and asking for its size and time, on the worker's thread: microseconds when the kernel has the
// folder in memory. The body goes out in FileBody.swift.

import WeirCompression
import WeirFiles
import Glibc
import WeirHTTP1
import WeirHTTPModel
import Reactor
import WeirResilience
import WeirRouting

/// A file that was found for a request.
private struct FoundFile {
    var file: OpenFile
    /// Its path relative to the root, that of the original when it is a precompressed variant.
    var path: UnsafeBufferPointer<UInt8>
    var coding: ContentCoding?
}

extension Worker {
    // Where parts of the worker's input memory are used while a request is looked up: nothing received
    // lies there any more.
    private static let targetBytesMax = 32 << 10
    private static let textOffset = 32 << 10
    private static let nameOffset = 48 << 10

    /// Answers a request from the folder of its service. False: another service answers in its place.
    func answerFile(_ exchange: ExchangePointer) -> Bool {
        guard let service = exchange.service, let view = view(exchange) else { return true }
        // The other service has it already (`route`).
        guard let plan = service.files else { return false }
        if !exchange.pointee.request.method.readsFiles {
            if exchange.pointee.request.method == .options {
                answerOptions(exchange)
            } else {
                exchange.fail(Failure(.fileMethodNotAllowed, phase: .lookup))
            }
            return true
        }
        let tree = fileRoots[service.id].open(plan, nowMs: nowMs)
        guard tree.fd >= 0 else {
            failFile(exchange, errno: -tree.fd)
            return true
        }
        let received = view.head.pointee.path.bytes(in: view.bytes)
        let search = FileSearch(
            plan, tree, path: filePath(exchange, view),
            redirects: received.last != UInt8(ascii: "/") && !received.isEmpty
                && (exchange.route?.rewrite?.keepsFolders ?? true),
            name: input + Self.nameOffset, text: input + Self.textOffset)
        switch search.run(render: { template, writer in render(template, exchange, view, &writer) }) {
        case .found(let file, let count):
            serveFile(exchange, plan.rules, view, variant(tree, plan, view, file, search.name, count))
        case .folder:
            redirectToFolder(exchange, view)
        case .failed(let error):
            failFile(exchange, errno: error)
        case .missing:
            guard case .status(let status) = plan.otherwise else { return false }
            exchange.fail(Failure(.fileNotFound, phase: .lookup, status: status))
        }
        return true
    }

    /// Ends an exchange whose file cannot be had: the one place these reasons are made.
    private func failFile(_ exchange: ExchangePointer, errno error: Int32) {
        let reason: Reason
        switch error {
        case 0, ENOENT, ENOTDIR:
            reason = .fileNotFound
        case EACCES, EPERM, EXDEV, ELOOP:
            reason = .fileForbidden
        case EMFILE, ENFILE, ENOMEM:
            exchange.fail(.limit(.system, phase: .lookup, errno: error))
            return
        default:
            readFailed(exchange, errno: error)
            return
        }
        exchange.fail(Failure(reason, phase: .lookup, errno: error))
    }

    // MARK: finding

    /// The precompressed sibling the client wants most, or the file itself.
    private func variant(
        _ tree: FileTree, _ plan: FilesPlan, _ view: RequestView, _ file: OpenFile,
        _ name: UnsafeMutablePointer<UInt8>, _ count: Int
    ) -> FoundFile {
        let found = FoundFile(
            file: file, path: UnsafeBufferPointer(start: name, count: count), coding: nil)
        let rules = plan.rules
        var wanted = rules.precompressed
        if wanted.count == 0 { return found }
        let accepted = AcceptedCodings(of: view)
        while let coding = accepted.choice(among: wanted) {
            wanted.remove(coding)
            let suffix = coding.suffix
            (name + count).update(from: suffix.utf8Start, count: suffix.utf8CodeUnitCount)
            name[count + suffix.utf8CodeUnitCount] = 0
            guard case .success(let sibling) = tree.open(name, links: plan.links) else { continue }
            if sibling.kind == .file {
                file.close()
                return FoundFile(file: sibling, path: found.path, coding: coding)
            }
            sibling.close()
        }
        return found
    }

    /// The path of the file below the root: the request's, or what the route rewrites it to.
    private func filePath(_ exchange: ExchangePointer, _ view: RequestView) -> UnsafeBufferPointer<UInt8> {
        guard let rewrite = exchange.route?.rewrite else {
            let path = view.head.pointee.path.bytes(in: view.bytes)
            return path.isEmpty ? UnsafeBufferPointer(start: slash, count: 1) : path
        }
        var writer = ByteWriter(input, capacity: Self.targetBytesMax)
        let outcome = UpstreamTarget.write(
            view.head.pointee, view.bytes, rewrite, scratch: routeScratch, into: &writer
        ) { template, groups, writer in
            render(template, exchange, view, &writer, groups: groups)
        }
        if writer.overflowed || outcome != .written { return UnsafeBufferPointer(start: nil, count: 0) }
        var count = writer.count
        if let mark = memchr(input, 0x3f, count) { count = mark - UnsafeMutableRawPointer(input) }
        return UnsafeBufferPointer(start: input, count: count)
    }

    private var slash: UnsafePointer<UInt8> {
        let text: StaticString = "/"
        return text.utf8Start
    }

    // MARK: pages of errors

    /// Ends an answer to an error, whose fields stand in `writer` up to the type of its body, with a file. False:
    /// there is none to be had, and nothing was written.
    func answerFile(
        _ exchange: ExchangePointer, from plan: FilesPlan, _ serviceID: Int, _ view: RequestView,
        _ target: UnsafeBufferPointer<UInt8>, _ status: UInt16, _ writer: inout ByteWriter
    ) -> Bool {
        let tree = fileRoots[serviceID].open(plan, nowMs: nowMs)
        guard tree.fd >= 0 else { return false }
        let search = FileSearch(
            plan, tree, path: UnsafeBufferPointer(rebasing: target.prefix { $0 != UInt8(ascii: "?") }),
            redirects: false, name: input + Self.nameOffset, text: input + Self.textOffset)
        guard
            case .found(let file, let count) = search.run(render: { template, writer in
                render(template, exchange, view, &writer)
            })
        else { return false }
        let found = variant(tree, plan, view, file, search.name, count)
        withUnsafeTemporaryAllocation(of: ByteSpan.self, capacity: 1) { spans in
            guard let span = spans.baseAddress else { return }
            span.initialize(to: ByteSpan(first: 0, count: found.file.size))
            let response = FileResponse(
                file: found.file, type: plan.rules.types.type(found.path), spans: span,
                spanCount: found.file.size == 0 ? 0 : 1, boundary: 0)
            let compression = compressFile(exchange, plan.rules, view, found, status, response.type)
            // No validators, ranges or caching: they would be those of the file, not of the error.
            writeVary(plan.rules, status, compression, &writer)
            writeContent(
                response, found.file.size, found.coding ?? compression.coding, isRanged: false, status,
                &writer)
            if compression.coding != nil {
                beginStagedFile(exchange, response, &writer)
            } else {
                beginFileBody(exchange, response, &writer)
            }
        }
        return true
    }

    // MARK: answers without a file

    /// Relative references within a page need the slash. The path is the client's own, before rewriting.
    private func redirectToFolder(_ exchange: ExchangePointer, _ view: RequestView) {
        let path = view.head.pointee.path.bytes(in: view.bytes)
        // As a reference this would name another host (RFC 3986 §4.2).
        if path.count > 1, path[1] == UInt8(ascii: "/") {
            failFile(exchange, errno: 0)
            return
        }
        var writer = ByteWriter(output, capacity: outputBytes)
        beginAnswer(exchange, 301, &writer)
        writer.append("location: ")
        writer.append(path)
        writer.append("/")
        if view.head.pointee.hasQuery {
            writer.append("?")
            writer.append(view.head.pointee.query.bytes(in: view.bytes))
        }
        writer.append("\r\n")
        endAnswer(exchange, 301, nil, &writer)
    }

    private func answerOptions(_ exchange: ExchangePointer) {
        var writer = ByteWriter(output, capacity: outputBytes)
        beginAnswer(exchange, 204, &writer)
        writer.append("allow: GET, HEAD, OPTIONS\r\n")
        endAnswer(exchange, 204, nil, &writer)
    }

    // MARK: answers from a file

    private func serveFile(
        _ exchange: ExchangePointer, _ rules: FileRules, _ view: RequestView, _ found: FoundFile
    ) {
        let facts = FileFacts(size: found.file.size, modifiedNs: found.file.modifiedNs)
        let now = Int64(time.wallUs() / 1_000_000)
        withUnsafeTemporaryAllocation(of: UInt8.self, capacity: EntityTag.bytesMax) { tagRoom in
            withUnsafeTemporaryAllocation(of: ByteSpan.self, capacity: ByteRanges.partsMax) { spanRoom in
                guard let tagStart = tagRoom.baseAddress, let spans = spanRoom.baseAddress else { return }
                var tagWriter = ByteWriter(tagStart, capacity: tagRoom.count)
                EntityTag.write(
                    size: facts.size, modifiedNs: facts.modifiedNs, coding: found.coding, into: &tagWriter)
                let tag = UnsafeBufferPointer(start: UnsafePointer(tagStart), count: tagWriter.count)
                let decision = FileDecision.make(view, facts, tag: tag, now: now, spans: spans)
                var response = FileResponse(
                    file: found.file, type: rules.types.type(found.path), spans: spans, spanCount: 0,
                    boundary: 0)
                var status: UInt16 = 200
                switch decision {
                case .whole:
                    spans[0] = ByteSpan(first: 0, count: facts.size)
                    response.spanCount = facts.size == 0 ? 0 : 1
                case .spans(let count) where count > 1 && namesType(exchange):
                    // Several parts need a type of their own; a Range may be ignored (RFC 9110 §14.2).
                    spans[0] = ByteSpan(first: 0, count: facts.size)
                    response.spanCount = 1
                case .spans(let count):
                    status = 206
                    response.spanCount = count
                    if count > 1 { response.boundary = random.next() | 1 << 63 }
                case .notModified: status = 304
                case .preconditionFailed: status = 412
                case .unsatisfiable: status = 416
                }
                let compression = compressFile(exchange, rules, view, found, status, response.type)
                var writer = ByteWriter(output, capacity: outputBytes)
                beginAnswer(exchange, status, &writer)
                writeValidators(status, facts, tag, now, compression, &writer)
                writeCaching(rules, found, status, now, &writer)
                writeVary(rules, status, compression, &writer)
                if status == 200 || status == 206 {
                    writeContent(
                        response, facts.size, found.coding ?? compression.coding,
                        isRanged: compression.coding == nil, status, &writer)
                } else if status == 416 {
                    writer.append("content-range: bytes */")
                    writer.append(decimal: facts.size)
                    writer.append("\r\n")
                }
                if compression.coding != nil && status == 200 {
                    beginStagedFile(exchange, response, &writer)
                } else if status == 200 || status == 206 {
                    beginFileBody(exchange, response, &writer)
                } else {
                    found.file.close()
                    endAnswer(exchange, status, nil, &writer)
                }
            }
        }
    }

    /// Whether the rules of the route say what Content-Type is, or that there is none.
    private func namesType(_ exchange: ExchangePointer) -> Bool {
        exchange.route?.rulesContentType ?? false
    }

    private func writeValidators(
        _ status: UInt16, _ facts: FileFacts, _ tag: UnsafeBufferPointer<UInt8>, _ now: Int64,
        _ compression: CompressionDecision, _ writer: inout ByteWriter
    ) {
        if status == 412 || status == 416 { return }
        // Coded by us it is other bytes each time the library changes: the same meaning, no more.
        writer.append(compression.coding == nil ? "etag: " : "etag: W/")
        writer.append(tag)
        writer.append("\r\n")
        // With the tag in it, a 304 needs no date (RFC 9110 §15.4.5).
        if status != 304 {
            writer.append("last-modified: ")
            writer.append(date: facts.modifiedSeconds(now: now))
            writer.append("\r\n")
        }
    }

    private func writeCaching(
        _ rules: FileRules, _ found: FoundFile, _ status: UInt16, _ now: Int64,
        _ writer: inout ByteWriter
    ) {
        if status == 412 || status == 416 { return }
        if !rules.cache.isEmpty, let rule = rules.cacheRule(found.path) {
            writer.append("cache-control: ")
            writer.append(rule.control)
            writer.append("\r\n")
            if let seconds = rule.expiresSeconds {
                writer.append("expires: ")
                writer.append(date: now + seconds)
                writer.append("\r\n")
            }
        }
    }

    private func writeVary(
        _ rules: FileRules, _ status: UInt16, _ compression: CompressionDecision,
        _ writer: inout ByteWriter
    ) {
        if status == 412 || status == 416 { return }
        if rules.precompressed.count > 0 || compression.needsVary {
            writer.append("vary: accept-encoding\r\n")
        }
    }

    /// Whether a file that has no coded sibling is compressed on its way. Takes the encoder, for GET.
    ///
    /// A range is one of the file as it lies there, and its tag is the strong one: whoever holds part of a
    /// coded response holds a weak tag, which makes no range (RFC 9110 §13.1.5).
    private func compressFile(
        _ exchange: ExchangePointer, _ rules: FileRules, _ view: RequestView, _ found: FoundFile,
        _ status: UInt16, _ type: UnsafeBufferPointer<UInt8>
    ) -> CompressionDecision {
        guard exchange.pointee.mayTransform, found.coding == nil, status != 412, status != 416,
            let rule = exchange.route?.compression
        else { return .pass }
        let control = rules.cache.isEmpty ? nil : rules.cacheRule(found.path)?.control
        let decision =
            control.map {
                $0.withUnsafeBufferPointer {
                    rule.decide(
                        request: view, status: 200, type: type, byteCount: found.file.size, cacheControl: $0)
                }
            } ?? rule.decide(request: view, status: 200, type: type, byteCount: found.file.size)
        guard let coding = decision.coding else { return decision }
        if status == 206 { return decision.asItIs }
        if status == 304 || view.head.pointee.method == .head { return decision }
        guard let encoder = encoders.take(coding, level: rule.level(of: coding), size: found.file.size) else {
            return decision.asItIs
        }
        add(EncodeStage(encoder, flushesWhenIdle: false), toResponseOf: exchange)
        return decision
    }

    private func writeContent(
        _ response: FileResponse, _ size: UInt64, _ coding: ContentCoding?, isRanged: Bool,
        _ status: UInt16, _ writer: inout ByteWriter
    ) {
        if response.boundary != 0 {
            // The parts have the type of the file.
            writer.append("content-type: multipart/byteranges; boundary=")
            writer.append(boundary: response.boundary)
            writer.append("\r\n")
        } else {
            writer.append("content-type: ")
            writer.append(response.type)
            writer.append("\r\n")
        }
        if let coding {
            writer.append("content-encoding: ")
            writer.append(coding.name)
            writer.append("\r\n")
        }
        writer.append("x-content-type-options: nosniff\r\n")
        if isRanged { writer.append("accept-ranges: bytes\r\n") }
        if status == 206, response.boundary == 0 {
            writer.append("content-range: ")
            writer.append(response.spans[0], of: size)
            writer.append("\r\n")
        }
    }
}

extension ByteWriter {
    /// The value of a Content-Range field.
    mutating func append(_ span: ByteSpan, of size: UInt64) {
        append("bytes ")
        append(decimal: span.first)
        append("-")
        append(decimal: span.end - 1)
        append("/")
        append(decimal: size)
    }

    mutating func append(boundary: UInt64) {
        append("weir-")
        append(hexadecimal: boundary)
    }

    fileprivate mutating func append(date seconds: Int64) {
        withUnsafeTemporaryAllocation(of: UInt8.self, capacity: HTTPDate.byteCount) { room in
            guard let start = room.baseAddress else { return }
            HTTPDate.write(secondsSinceEpoch: seconds, to: start)
            append(start, HTTPDate.byteCount)
        }
    }
}
