package main

import (
	"context"
	"fmt"
	"net"
	"os"
	"path/filepath"
)

// maxSocketPath keeps below the 104 bytes that the shortest sun_path of the
// systems in use holds.
const maxSocketPath = 100

// shortened returns a name for a path that is too long for a unix socket: its
// folder is opened and named by its descriptor, which Linux allows. The name
// works until release is called.
func shortened(path string) (name string, release func(), err error) {
	if len(path) <= maxSocketPath {
		return path, func() {}, nil
	}
	folder, err := os.Open(filepath.Dir(path))
	if err != nil {
		return "", nil, err
	}
	return fmt.Sprintf("/proc/self/fd/%d/%s", folder.Fd(), filepath.Base(path)), func() { folder.Close() }, nil
}

// listenUnix makes a unix socket that only the process's own user can connect
// to: the folder it lies in is 0700, and the socket 0600 besides.
func listenUnix(path string) (net.Listener, error) {
	name, release, err := shortened(path)
	if err != nil {
		return nil, err
	}
	defer release()
	listener, err := net.Listen("unix", name)
	if err != nil {
		return nil, err
	}
	listener.(*net.UnixListener).SetUnlinkOnClose(false) // the shortened name is gone by then
	if err := os.Chmod(path, 0o600); err != nil {
		listener.Close()
		return nil, err
	}
	return listener, nil
}

func dialUnix(ctx context.Context, path string) (net.Conn, error) {
	name, release, err := shortened(path)
	if err != nil {
		return nil, err
	}
	defer release()
	var d net.Dialer
	return d.DialContext(ctx, "unix", name)
}
