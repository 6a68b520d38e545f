// Certificates, keys and bundles as operators write them, right and wrong.

import COpenSSL
import Glibc
import NamedFiles
import Testing

@testable import TLS

@Suite("Loading certificates")
struct LoadingTests {
    let authority = TestAuthority.shared

    private func load(_ chain: [UInt8], _ key: [UInt8], mode: UInt32 = 0o600) throws(CertificateError)
        -> ServerCertificate
    {
        try ServerCertificate(
            chain: PEMFile(path: "a.pem", bytes: chain, mode: 0o644),
            key: PEMFile(path: "a.key", bytes: key, mode: mode))
    }

    @Test("what a certificate says")
    func info() throws {
        let certificate = try load(
            authority.issue(["www.Example.com", "*.example.com", "192.0.2.1", "2001:db8::1"]),
            TestKey.shared.ecdsa.pem)
        let info = certificate.info
        #expect(info.names == ["www.example.com", "*.example.com"])
        #expect(info.addresses == ["192.0.2.1", "2001:db8:0:0:0:0:0:1"])
        #expect(info.issuer == "CN=Test CA")
        #expect(info.keyKind == .ecdsa && info.keyBits == 256)
        #expect(info.notBefore == nowSeconds - day && info.notAfter == nowSeconds + 90 * day)
        #expect(info.isValid(atSeconds: nowSeconds) && !info.isValid(atSeconds: info.notAfter + 1))
        #expect(!info.isValid(atSeconds: info.notBefore - 1))
        #expect(info.chain == .leafOnly && info.chainCount == 1)
        #expect(info.fingerprint.count == 32 && !info.serial.isEmpty)
    }

    @Test("chains")
    func chains() throws {
        let intermediate = try TestAuthority("Intermediate", issuer: authority)
        let leaf = try intermediate.issue(["a.test"])
        let key = TestKey.shared.ecdsa.pem
        #expect(try load(leaf + intermediate.pem, key).info.chain == .withIssuers)
        #expect(try load(leaf + intermediate.pem + authority.pem, key).info.chain == .withRoot)
        #expect(try load(authority.pem, authority.key.pem).info.chain == .selfSigned)
        #expect(throws: CertificateError.chainOutOfOrder("a.pem", index: 1)) {
            try load(leaf + authority.pem + intermediate.pem, key)
        }
        #expect(throws: CertificateError.chainOutOfOrder("a.pem", index: 2)) {
            try load(leaf + intermediate.pem + leaf, key)
        }
        // A file with text and the key beside the certificates, as some tools write it.
        let combined = Array("subject=a\n".utf8) + key + leaf + intermediate.pem
        #expect(try load(combined, combined).info.chain == .withIssuers)
    }

    @Test("every kind of key")
    func keys() throws {
        let rsa = try load(authority.issue(["a.test"], key: TestKey.shared.rsa), TestKey.shared.rsa.pem)
        #expect(rsa.info.keyKind == .rsa && rsa.info.keyBits == 2048)
        let key = try TestKey(.ed25519)
        let edwards = try load(authority.issue(["a.test"], key: key), key.pem)
        #expect(edwards.info.keyKind == .ed25519)
        let pair = try Pair(.make([edwards]), .make(), host: "a.test")
        #expect(pair.handshake().client == .done)
    }

    @Test("what is wrong is said precisely")
    func errors() throws {
        let chain = try authority.issue(["a.test"])
        let key = TestKey.shared.ecdsa
        #expect(throws: CertificateError.keyMismatch("a.pem", key: "a.key")) {
            try load(chain, TestKey.shared.rsa.pem)
        }
        #expect(throws: CertificateError.keyMismatch("a.pem", key: "a.key")) {
            try load(chain, TestKey(.ecdsa).pem)
        }
        #expect(throws: CertificateError.keyEncrypted("a.key")) { try load(chain, key.encryptedPEM) }
        #expect(throws: CertificateError.keyWorldReadable("a.key", mode: 0o644)) {
            try load(chain, key.pem, mode: 0o644)
        }
        #expect(try load(chain, key.pem, mode: 0o640).info.names == ["a.test"])
        #expect(throws: CertificateError.notPEM("a.pem")) { try load([], key.pem) }
        #expect(throws: CertificateError.notPEM("a.pem")) { try load([0x30, 0x82, 1, 2], key.pem) }
        #expect(throws: CertificateError.wrongContent("a.pem", found: "a PRIVATE KEY")) {
            try load(key.pem, key.pem)
        }
        #expect(throws: CertificateError.keyNotFound("a.key", found: "a CERTIFICATE")) {
            try load(chain, chain)
        }
        #expect(throws: CertificateError.keyNotFound("a.key", found: nil)) { try load(chain, []) }
        var damaged = chain
        damaged[chain.count / 2] = UInt8(ascii: "!")
        #expect(throws: CertificateError.certificateMalformed("a.pem", index: 1)) {
            try load(damaged, key.pem)
        }
        #expect(throws: CertificateError.certificateMalformed("a.pem", index: 2)) {
            try load(chain + damaged, key.pem)
        }
        var damagedKey = key.pem
        damagedKey[40] ^= 3
        #expect(throws: CertificateError.keyMalformed("a.key")) { try load(chain, damagedKey) }
        #expect(ERR_peek_error() == 0)
        let text = CertificateError.keyWorldReadable("/k", mode: 0o644)
        #expect(text.description == "/k can be read by everybody (mode 0644)")
        #expect(text.hint == "run: chmod o-rwx /k")
    }

    @Test("files: missing, a folder, a link to another, changed")
    func files() throws {
        var template = Array("/tmp/weir-tls-XXXXXX".utf8CString)
        let folder = String(cString: try #require(mkdtemp(&template)))
        defer { _ = rmdir(folder) }
        #expect(throws: CertificateError.file("\(folder)/none", .missing)) {
            try PEMFile(reading: "\(folder)/none")
        }
        #expect(throws: CertificateError.file(folder, .notRegular("a folder"))) {
            try PEMFile(reading: folder)
        }
        let path = "\(folder)/a.key"
        func write(_ bytes: [UInt8], mode: mode_t) {
            let fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, mode)
            #expect(Glibc.write(fd, bytes, bytes.count) == bytes.count)
            close(fd)
            chmod(path, mode)
        }
        defer { unlink(path) }
        write(TestKey.shared.ecdsa.pem, mode: 0o644)
        let file = try PEMFile(reading: path)
        #expect(file.isWorldReadable && file.bytes == TestKey.shared.ecdsa.pem)
        #expect(NamedFile.version(of: path) == file.version)
        write([1, 2, 3], mode: 0o600)
        #expect(NamedFile.version(of: path) != file.version)
        #expect(try !PEMFile(reading: path).isWorldReadable)
        #expect(NamedFile.version(of: "\(folder)/none") == nil)
    }

    @Test("a CA bundle, and one that is none")
    func bundles() throws {
        let other = try TestAuthority("Other CA")
        let bundle = try CertificateAuthorities(PEMFile(path: "ca", bytes: authority.pem + other.pem))
        #expect(bundle.infos.map(\.subject) == ["CN=Test CA", "CN=Other CA"])
        #expect(throws: CertificateError.notPEM("ca")) {
            try CertificateAuthorities(PEMFile(path: "ca", bytes: []))
        }
        #expect(try bundle.digest != authority.authorities().digest)
    }
}
