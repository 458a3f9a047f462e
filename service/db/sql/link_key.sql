select link_key from installation
