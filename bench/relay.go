package main

import (
	"crypto/tls"
	"encoding/binary"
	"flag"
	"fmt"
	"io"
	"net"
	"os"
)

// sslRequest is the code of an SSLRequest (PostgreSQL's protocol, 55.7).
const sslRequest = 80877103

// relayMain is the child process of -peer relay: the least that a proxy in Go
// can do. It copies bytes, and takes TLS off if the client asks for it.
func relayMain(args []string) error {
	f := flag.NewFlagSet("relay", flag.ContinueOnError)
	listen := f.String("listen", "", "address")
	upstream := f.String("upstream", "", "address")
	cert := f.String("cert", "", "file, PEM")
	key := f.String("key", "", "file, PEM")
	if err := f.Parse(args); err != nil {
		return err
	}
	pair, err := tls.LoadX509KeyPair(*cert, *key)
	if err != nil {
		return err
	}
	ln, err := net.Listen("tcp", *listen)
	if err != nil {
		return err
	}
	config := &tls.Config{Certificates: []tls.Certificate{pair}, MinVersion: tls.VersionTLS12}
	for {
		client, err := ln.Accept()
		if err != nil {
			return err
		}
		go func() {
			if err := relay(client, *upstream, config); err != nil {
				fmt.Fprintln(os.Stderr, "relay:", err)
			}
		}()
	}
}

// relay serves one client until either side closes.
func relay(client net.Conn, upstream string, config *tls.Config) error {
	defer client.Close()
	server, err := net.Dial("tcp", upstream)
	if err != nil {
		return err
	}
	defer server.Close()
	var first [8]byte
	if _, err := io.ReadFull(client, first[:]); err != nil {
		return err
	}
	if binary.BigEndian.Uint32(first[4:]) == sslRequest {
		if _, err := client.Write([]byte{'S'}); err != nil {
			return err
		}
		client = tls.Server(client, config)
	} else if _, err := server.Write(first[:]); err != nil {
		return err
	}
	done := make(chan struct{}, 2)
	go pipe(client, server, done)
	go pipe(server, client, done)
	<-done
	return nil
}

// pipe copies until one side ends. Between two TCP connections the kernel
// splices, without the bytes passing through this process.
func pipe(to io.Writer, from io.Reader, done chan<- struct{}) {
	io.Copy(to, from) // an error is a connection that ended
	done <- struct{}{}
}
