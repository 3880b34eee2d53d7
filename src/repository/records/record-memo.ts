import type { Certificate } from '../format/certificate.ts';
import type { JsonFields } from '../format/json.ts';

const SIGNATURES_KEPT = 50_000;
const CERTIFICATES_KEPT = 1000;
const SECTIONS_KEPT = 10_000;
/** Larger sections are opened each time. */
const LARGEST_SECTION_BYTES = 8 * 1024;
const LARGEST_JSON_BYTES = 64 * 1024;

/**
 * What has been proven and opened while a repository is open, by the digest of the bytes: whoever reads the same bytes again need not check
 * them again. Nothing is taken from here without having been read.
 */
export class RecordMemo {
  readonly #signatures = new BoundedMap<true>(SIGNATURES_KEPT);
  readonly #certificates = new BoundedMap<Certificate>(CERTIFICATES_KEPT);
  readonly #sections = new BoundedMap<JsonFields>(SECTIONS_KEPT);

  /** Whether the signature fits; `check` is asked the first time. */
  signature(digest: string, certificate: Certificate, check: () => boolean): boolean {
    const key = `${digest} ${Buffer.from(certificate.signingKey).toString('latin1')}`;
    if (this.#signatures.get(key) !== undefined) return true;
    const fits = check();
    if (fits) this.#signatures.set(key, true);
    return fits;
  }

  /** `key`: the digest of the certificate's bytes, and where it lies. */
  certificate(key: string, read: () => Certificate): Certificate {
    const known = this.#certificates.get(key);
    if (known !== undefined) return known;
    const certificate = read();
    this.#certificates.set(key, certificate);
    return certificate;
  }

  /** Only for who holds the section's key. */
  section(key: string, sizeBytes: number, open: () => JsonFields): JsonFields {
    const known = this.#sections.get(key);
    if (known !== undefined) return known;
    const fields = open();
    if (sizeBytes <= LARGEST_SECTION_BYTES && fields.sizeBytes <= LARGEST_JSON_BYTES) this.#sections.set(key, fields);
    return fields;
  }
}

/** Forgets what came first. */
class BoundedMap<Value> {
  readonly #most: number;
  readonly #values = new Map<string, Value>();

  constructor(most: number) {
    this.#most = most;
  }

  get(key: string): Value | undefined {
    return this.#values.get(key);
  }

  set(key: string, value: Value): void {
    if (this.#values.size >= this.#most) {
      const [oldest] = this.#values.keys();
      if (oldest !== undefined) this.#values.delete(oldest);
    }
    this.#values.set(key, value);
  }
}
