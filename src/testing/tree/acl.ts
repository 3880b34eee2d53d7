import type { SeededRandom } from '../../flow/random.ts';

const VERSION = 2;
const NO_ID = 0xffff_ffff;
const TAGS = { owner: 0x01, user: 0x02, owningGroup: 0x04, group: 0x08, mask: 0x10, other: 0x20 } as const;

/** A POSIX ACL in the kernel's form, as the value of `system.posix_acl_access` or `system.posix_acl_default`. */
export function randomAcl(random: SeededRandom): Uint8Array {
  const permissions = (): number => random.integer(8);
  const entries: readonly (readonly [number, number, number])[] = [
    [TAGS.owner, 6 | permissions(), NO_ID],
    [TAGS.user, permissions(), 1_000 + random.integer(50)],
    [TAGS.owningGroup, permissions(), NO_ID],
    [TAGS.group, permissions(), 2_000 + random.integer(50)],
    [TAGS.mask, permissions(), NO_ID],
    [TAGS.other, permissions(), NO_ID],
  ];
  const bytes = Buffer.alloc(4 + entries.length * 8);
  bytes.writeUInt32LE(VERSION, 0);
  for (const [index, [tag, permission, id]] of entries.entries()) {
    const at = 4 + index * 8;
    bytes.writeUInt16LE(tag, at);
    bytes.writeUInt16LE(permission, at + 2);
    bytes.writeUInt32LE(id, at + 4);
  }
  return bytes;
}

/** `security.capability`, version 2: may bind low ports, effective. */
export function lowPortsCapability(): Uint8Array {
  const bytes = Buffer.alloc(20);
  bytes.writeUInt32LE(0x0200_0001, 0);
  bytes.writeUInt32LE(1 << 10, 4);
  return bytes;
}
