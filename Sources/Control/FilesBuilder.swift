// Folders of files: from the configuration to a plan, and whether what they need is there.

import Configuration
import WeirFiles
import WeirHTTPModel
import NamedFiles
import Proxy
import Reactor

extension FilesPlan {
    /// Compiles the `files:` section of a service.
    public convenience init(_ files: ServedFiles) {
        let cache = files.cache.map { rule in
            let patterns = rule.paths.map { FilePattern($0.value) }
            return switch rule.action {
            case .control(let text): CacheRule(patterns: patterns, control: text.value)
            case .expires(let seconds): CacheRule(patterns: patterns, expiresSeconds: seconds)
            }
        }
        let links: FileTree.Links =
            switch files.links {
            case .inside: .inside
            case .none: .none
            case .anywhere: .anywhere
            }
        self.init(
            root: files.root.value, links: links,
            rules: FileRules(
                index: files.index.map(\.value), fallback: files.fallback?.value,
                allowsHidden: files.hidden,
                precompressed: files.precompressed.map { ContentCoding($0) }, cache: cache,
                types: ContentTypes(overrides: files.types.map { ($0.fileExtension.value, $0.type.value) })),
            candidates: Self.candidates(files), otherwise: Self.otherwise(files))
    }

    private static func candidates(_ files: ServedFiles) -> [FileCandidate] {
        // What cannot be parsed was reported when the routes were compiled.
        files.candidates.compactMap { try? FileCandidate.parse($0.template) }
            + (files.fallback == nil ? [] : [.page])
    }

    private static func otherwise(_ files: ServedFiles) -> Otherwise {
        switch files.otherwise {
        case .service: .service
        case .status(let status): .status(UInt16(status))
        }
    }
}

extension ContentCoding {
    init(_ coding: ServedFiles.Precompressed) {
        self =
            switch coding {
            case .zstd: .zstd
            case .br: .br
            case .gzip: .gzip
            }
    }
}

extension Configuration {
    /// Folders and files that have to be there and are not, as errors at their places. Certificates and
    /// keys are read, and judged, by CertificateSet.
    func missingFiles(file: String) -> [ConfigurationError] {
        var errors = services.compactMap { service -> ConfigurationError? in
            guard let root = service.files?.root else { return nil }
            let tree = root.value.withCString { FileTree(folder: $0) }
            guard tree.fd < 0 else {
                tree.close()
                return nil
            }
            return ConfigurationError(
                "cannot serve files from \(root.value): \(FileError(code: -tree.fd))", at: root.origin,
                file: file, expectation: "expected a folder that exists")
        }
        if let log = accessLog, case .file(let path) = log.destination,
            let obstacle = NamedFile.obstacle(toAppendingAt: path)
        {
            errors.append(
                ConfigurationError(
                    "cannot write the access log to \(path): \(obstacle)", at: log.origin, file: file,
                    expectation: "expected a file that can be written, in a folder that exists"))
        }
        return errors
    }
}
