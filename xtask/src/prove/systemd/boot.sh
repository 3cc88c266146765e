#!/bin/sh
# Boots systemd in namespaces of its own, with /usr of this machine, /etc and all else of its own, and the
# package installed. Arguments: a folder to mount all that on, the program, the package, the configuration.
set -e
root=$1 program=$2 package=$3 configuration=$4
mount --make-rprivate /
mount -t tmpfs -o mode=755 tmpfs "$root"
cd "$root"
mkdir -p usr etc/systemd/system/responder.service.d proc sys dev run tmp var/lib var/log root old over/upper over/work
mount -t overlay -o "lowerdir=/usr,upperdir=$root/over/upper,workdir=$root/over/work" overlay usr
for link in bin sbin lib lib64; do [ ! -e "/$link" ] || ln -s "usr/$link" "$link"; done
cp /etc/passwd /etc/group /etc/nsswitch.conf /etc/ld.so.cache etc/
echo 0123456789abcdef0123456789abcdef > etc/machine-id

touch usr/bin/responder
mount --bind "$program" usr/bin/responder
cp "$package/responder.service" etc/systemd/system/
cp "$package/sysusers.d/responder.conf" usr/lib/sysusers.d/
cp "$package/tmpfiles.d/responder.conf" usr/lib/tmpfiles.d/
cp -r "$configuration" etc/responder
mv etc/responder/drop-in.conf etc/systemd/system/responder.service.d/
# The kernel is not this systemd's: what would change it is left out.
for unit in systemd-sysctl.service systemd-remount-fs.service systemd-modules-load.service \
	systemd-binfmt.service modprobe@.service systemd-udevd.service systemd-udev-trigger.service \
	sys-kernel-debug.mount sys-kernel-tracing.mount sys-kernel-config.mount dev-hugepages.mount \
	proc-sys-fs-binfmt_misc.automount; do
	ln -s /dev/null "etc/systemd/system/$unit"
done
printf '[Unit]\nRequires=basic.target\nAfter=basic.target\n' > etc/systemd/system/proof.target

mount -t proc proc proc
mount -t sysfs sysfs sys
mount -t cgroup2 cgroup2 sys/fs/cgroup
mount -t bpf bpf sys/fs/bpf
mount -t tmpfs -o mode=755 tmpfs dev
for device in null zero full random urandom tty; do
	touch "dev/$device"
	mount --bind "/dev/$device" "dev/$device"
done
mkdir dev/shm dev/pts
mount -t devpts -o newinstance,ptmxmode=0666 devpts dev/pts
ln -s pts/ptmx dev/ptmx
ln -s /proc/self/fd dev/fd
mount -t tmpfs -o mode=755 tmpfs run
mount -t tmpfs -o mode=1777 tmpfs tmp
pivot_root . old
umount -l old
exec env -i container=xtask PATH=/usr/sbin:/usr/bin /usr/lib/systemd/systemd --unit=proof.target \
	--log-target=journal --show-status=no
