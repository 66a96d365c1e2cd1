"""CrowdBuy: a buyer, a cloud that brokers, and sellers with phones."""
