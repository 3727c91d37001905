from __future__ import annotations

import socket

import torch
from torch import distributed as dist
from torch import multiprocessing
from torch.nn.functional import normalize

from tmca_core.model.alignment import MultiLevelAlignment

WORLD, PER_PROCESS, D = 2, 3, 8


def batch():
    generator = torch.Generator().manual_seed(5)
    n = WORLD * PER_PROCESS
    levels = [torch.randn(n, D, s, s, generator=generator) for s in (8, 4, 2, 1)]
    reports, embeddings = torch.randn(n, D, generator=generator), torch.randn(n, 6, generator=generator)
    targets = (torch.rand(n, 1, 16, 16, generator=generator) > 0.7).float()
    targets[4] = 0.0
    has_report = torch.tensor([True, True, False, True, True, True])
    return levels, reports, embeddings, has_report, targets


def soft_loss_and_gradient(part: slice):
    levels, reports, embeddings, has_report, targets = batch()
    leaves = [level[part].clone().requires_grad_() for level in levels]
    losses = MultiLevelAlignment(use_pixel=False)(
        [normalize(leaf, dim=1) for leaf in leaves],
        normalize(reports[part], dim=-1),
        embeddings[part],
        has_report[part],
        targets[part],
    )
    losses.soft.backward()
    return losses.soft.detach(), leaves[0].grad


def worker(rank: int, port: int, results) -> None:
    dist.init_process_group("gloo", init_method=f"tcp://127.0.0.1:{port}", rank=rank, world_size=WORLD)
    loss, gradient = soft_loss_and_gradient(slice(rank * PER_PROCESS, (rank + 1) * PER_PROCESS))
    results.put((rank, float(loss), gradient.tolist()))
    dist.destroy_process_group()


def free_port() -> int:
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return int(s.getsockname()[1])


def test_contrast_over_two_processes_equals_contrast_over_one():
    context = multiprocessing.get_context("spawn")
    results = context.Queue()
    port = free_port()
    processes = [context.Process(target=worker, args=(rank, port, results)) for rank in range(WORLD)]
    for process in processes:
        process.start()
    found = {
        rank: (loss, torch.tensor(gradient)) for rank, loss, gradient in (results.get(timeout=120) for _ in processes)
    }
    for process in processes:
        process.join(timeout=60)
    loss, gradient = soft_loss_and_gradient(slice(None))
    for rank in range(WORLD):
        torch.testing.assert_close(torch.tensor(found[rank][0]), loss, rtol=1e-5, atol=1e-6)
        # Each process computes the whole loss, and the gather adds up what all of them say about its rows; averaged
        # over processes, as DDP does, that is the gradient of one process over the whole batch.
        part = slice(rank * PER_PROCESS, (rank + 1) * PER_PROCESS)
        torch.testing.assert_close(found[rank][1] / WORLD, gradient[part], rtol=1e-4, atol=1e-6)
